"""The Dockerfile as Docker reads it, and a stage's steps carried out in a folder, without a daemon.

Knows what our Dockerfile uses, and no more. Base images are not fetched: the Python and the uv at hand stand
for those that the image has.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template
from typing import NamedTuple

from batchmail.settings import CHECKOUT

DOCKERFILE = CHECKOUT / "Dockerfile"

_FLAG = re.compile(r"--([a-z-]+)=(\S+) +")


class Instruction(NamedTuple):
    """One instruction: `COPY --from=build /app /app` has one flag and two words."""

    name: str
    flags: Mapping[str, str]
    text: str

    @property
    def words(self) -> tuple[str, ...]:
        """Its arguments, from either form."""
        return tuple(json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text))

    @property
    def pairs(self) -> dict[str, str]:
        """What ARG, ENV or LABEL set."""
        split = (word.partition("=") for word in self.words)
        return {name: value for name, _, value in split}


class Stage(NamedTuple):
    """A FROM and what follows it."""

    image: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> tuple[Instruction, ...]:
        """Its instructions of this name, in order."""
        return tuple(each for each in self.instructions if each.name == name)

    def last(self, name: str) -> Instruction:
        """The one that counts where several would follow one another."""
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        return {name: value for each in self.all("ENV") for name, value in each.pairs.items()}

    @property
    def sources(self) -> tuple[str, ...]:
        """What it copies from the checkout."""
        copies = (each for each in self.all("COPY") if "from" not in each.flags)
        return tuple(source for each in copies for source in each.words[:-1])


def read_stages(file: Path = DOCKERFILE) -> tuple[Stage, ...]:
    """The stages in order; in FROM every ARG has its default."""
    stages: list[Stage] = []
    defaults: dict[str, str] = {}
    for name, flags, text in _instructions(file.read_text()):
        if name == "FROM":
            filled = Template(text).substitute(defaults)
            image, _, stage = filled.partition(" AS ")
            stages.append(Stage(image, stage, ()))
        elif stages:
            stage_so_far = stages[-1]
            added = (*stage_so_far.instructions, Instruction(name, flags, text))
            stages[-1] = stage_so_far._replace(instructions=added)
        else:
            defaults |= Instruction(name, flags, text).pairs
    return tuple(stages)


def build_context(folder: Path = CHECKOUT) -> set[str]:
    """Every file below `folder` that its .dockerignore lets into a build, by its path."""
    lines = (line.strip() for line in (folder / ".dockerignore").read_text().splitlines())
    rules = [line for line in lines if line and not line.startswith("#")]
    found = set()
    for place, folders, files in os.walk(folder):
        here = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if _is_let_in(here / name, rules)]
        found |= {str(here / name) for name in files if _is_let_in(here / name, rules)}
    return found


def carry_out(stage: Stage, app: Path, environment: Mapping[str, str]) -> None:
    """Do the stage's COPY and RUN instructions, `app` being its working folder."""
    context = build_context()
    arguments = {name: value for each in stage.all("ARG") for name, value in each.pairs.items()}
    for each in stage.instructions:
        if each.name == "COPY" and "from" not in each.flags:
            for source in each.words[:-1]:
                for path in context:
                    if path == source or path.startswith(f"{source}/"):
                        (app / path).parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy2(CHECKOUT / path, app / path)
                        # As a checkout has it whose owner shares nothing.
                        (app / path).chmod(0o600)
        elif each.name == "RUN":
            ran = subprocess.run(
                ["/bin/sh", "-ec", each.text],
                cwd=app,
                env={**stage.environment, **arguments, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, f"RUN {each.text}\n{ran.stdout}"


def _instructions(text: str) -> list[tuple[str, dict[str, str], str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = []
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        name, _, rest = line.strip().partition(" ")
        if not name:
            continue
        flags = {}
        rest = rest.strip()
        while flag := _FLAG.match(rest):
            flags[flag[1]] = flag[2]
            rest = rest[flag.end() :]
        found.append((name.upper(), flags, re.sub(r" {2,}", " ", rest)))
    return found


def _is_let_in(path: Path, rules: list[str]) -> bool:
    """Docker's rule: the last line that matches the path, or a folder that it lies in, decides."""
    let_in = True
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        anywhere = rule.startswith("**/")
        ways = [path, *path.parents][:-1]
        if any(fnmatchcase(way.name if anywhere else str(way), pattern) for way in ways):
            let_in = rule.startswith("!")
    return let_in

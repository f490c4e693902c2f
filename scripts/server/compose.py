"""docker-compose.yml as the native stack reads it: one source for what runs in containers and without.

Of the Compose specification this knows interpolation and the few keys that our file uses; that the file is a
valid one is a test's business.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from batchmail.settings import CHECKOUT

COMPOSE_FILE = CHECKOUT / "docker-compose.yml"

_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-+?])(?P<word>[^}]*))?\})"
)


class HealthCheck(BaseModel):
    """How a service is asked whether it is well: a command line, or one for the shell."""

    model_config = ConfigDict(frozen=True)

    test: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """The command as it is executed in the container."""
        kind, *rest = self.test
        return tuple(rest) if kind == "CMD" else ("/bin/sh", "-c", *rest)


class Service(BaseModel):
    """What a service runs, and with which environment."""

    model_config = ConfigDict(frozen=True)

    image: str | None = None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = Field(default_factory=dict)
    healthcheck: HealthCheck | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """All that is executed in the container, beside what its image says."""
        return (*self.entrypoint, *self.command)

    @field_validator("entrypoint", "command", mode="before")
    @classmethod
    def _words(cls, given: object) -> object:
        return tuple(shlex.split(given)) if isinstance(given, str) else given


def read_services(variables: Mapping[str, str], file: Path = COMPOSE_FILE) -> dict[str, Service]:
    """The services by name, with `variables` (those of .env and the shell) filled in."""
    document = yaml.safe_load(file.read_text())
    return {
        name: Service.model_validate(_filled(given, variables))
        for name, given in document["services"].items()
    }


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`$NAME`, `${NAME:-default}` and the like replaced as Compose does; `$$` is a dollar sign.

    Raises ValueError where a variable that must be set is not.
    """

    def replacement(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        name = found["plain"] or found["name"]
        how, word = found["how"] or "", found["word"] or ""
        value = variables.get(name)
        is_there = bool(value) if how.startswith(":") else value is not None
        if how.endswith("+"):
            return word if is_there else ""
        if is_there or not how:
            return value or ""
        if how.endswith("?"):
            raise ValueError(f"{name} is not set: {word}")
        return word

    return _REFERENCE.sub(replacement, text)


def _filled(given: object, variables: Mapping[str, str]) -> object:
    match given:
        case str():
            return interpolated(given, variables)
        case list():
            return [_filled(each, variables) for each in given]
        case dict():
            return {key: _filled(each, variables) for key, each in given.items()}
        case _:
            return given

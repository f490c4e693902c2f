"""starter.py and worker.py run under any python3: .venv's takes over, or one sentence says what to do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from batchmail.interpreter import DEPENDENCIES, OLDEST

CHECKOUT = Path(__file__).resolve().parents[2]

SCRIPT = """
if __name__ == "__main__":
    from batchmail.interpreter import use_project_interpreter

    use_project_interpreter(__file__)
    import sys
    print(sys.executable, *sys.argv[1:])
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing but a script and what it needs to find its Python."""
    (tmp_path / "batchmail").mkdir()
    for name in ("__init__.py", "interpreter.py"):
        shutil.copy(CHECKOUT / "batchmail" / name, tmp_path / "batchmail" / name)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def run_bare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script by a Python that has nothing installed, from another folder."""
    command = [sys.executable, "-S", str(folder / "script.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def test_without_an_environment_one_sentence_says_what_to_do(checkout: Path) -> None:
    ended = run_bare(checkout)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "`make setup`" in ended.stderr


def test_the_environments_python_takes_over_with_the_same_arguments(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    ended = run_bare(checkout, "--list", "my list.csv")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("--list my list.csv\n")


def test_an_environment_that_lacks_something_does_not_start_itself_for_ever(checkout: Path) -> None:
    environment = checkout / ".venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(environment)],
        check=True,
        timeout=60,
    )
    ended = run_bare(checkout)
    assert ended.returncode == 2
    assert "`make setup`" in ended.stderr


def test_the_dependencies_are_those_of_the_project() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    wanted = [re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]]
    found = packages_distributions()
    assert [_name(found[module][0]) for module in DEPENDENCIES] == [_name(one) for one in wanted]
    assert project["requires-python"] == f">={OLDEST[0]}.{OLDEST[1]}"


def _name(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


@pytest.mark.parametrize(
    "file", ["starter.py", "worker.py", "batchmail/__init__.py", "batchmail/interpreter.py"]
)
def test_a_python_that_is_too_old_can_read_what_tells_it_so(file: str) -> None:
    ast.parse((CHECKOUT / file).read_text(), feature_version=(3, 7))

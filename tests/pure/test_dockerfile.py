"""The worker's image, as its Dockerfile and .dockerignore describe it."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from batchmail.settings import CHECKOUT, Settings
from tests.dockerfile import DOCKERFILE, build_context, read_stages

UV, BUILD, IMAGE = read_stages()
PROGRAM = {"worker.py", "starter.py", "activities", "batchmail", "workflows"}

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def test_base_images_are_pinned_to_one_release() -> None:
    assert BUILD.image == IMAGE.image, "the environment made by one Python is run by the same"
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", IMAGE.image)
    assert re.fullmatch(r".*/uv:\d+\.\d+\.\d+", UV.image)


def test_what_is_copied_is_there_and_the_program_is_whole() -> None:
    assert set(BUILD.sources) >= PROGRAM
    assert IMAGE.sources == (), "nothing comes around the build stage"
    context = build_context()
    for source in BUILD.sources:
        assert any(path == source or path.startswith(f"{source}/") for path in context), source
    for folder in ("activities", "batchmail", "workflows"):
        modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / folder).rglob("*.py")}
        assert modules <= context


def test_each_copy_keeps_its_place() -> None:
    for copy in BUILD.all("COPY"):
        if "from" not in copy.flags:
            *sources, target = copy.words
            assert target == "./" or sources == [target], "a folder's contents go where COPY says"
            assert target != "./" or all((CHECKOUT / source).is_file() for source in sources)


def test_nothing_else_reaches_a_build() -> None:
    rooms = ("activities/", "batchmail/", "workflows/")
    files = {"LICENSE", "pyproject.toml", "uv.lock", "starter.py", "worker.py"}
    assert {path for path in build_context() if not path.startswith(rooms)} == files


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".git/config",
        "var/store/snapshots/1/manifest.json",
        "emails.csv",
        ".venv/bin/python",
        "batchmail/__pycache__/errors.cpython-313.pyc",
        "deploy/compose/postgres-password",
    ],
)
def test_no_secret_no_list_and_nothing_made_here_reaches_a_build(tmp_path: Path, name: str) -> None:
    shutil.copy(CHECKOUT / ".dockerignore", tmp_path)
    for each in (name, "batchmail/errors.py"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).touch()
    assert build_context(tmp_path) == {"batchmail/errors.py"}


def test_no_secret_stands_in_the_image() -> None:
    secrets = {name.upper() for name in Settings.model_fields if "password" in name or "keys" in name}
    assert secrets
    assert not [name for name in secrets if name in DOCKERFILE.read_text()]


def test_dependencies_are_those_of_the_lock_file_without_the_developers() -> None:
    install = next(each.text for each in BUILD.all("RUN") if "uv sync" in each.text)
    assert {"--frozen", "--no-dev"} <= set(shlex.split(install))


def test_the_extra_that_the_dockerfile_names_exists() -> None:
    named = re.findall(r"--extra (\w+)", DOCKERFILE.read_text())
    assert named
    assert set(named) <= set(PROJECT["project"]["optional-dependencies"])


def test_the_image_says_the_projects_version() -> None:
    assert next(arg.pairs for arg in IMAGE.all("ARG") if "VERSION" in arg.pairs) == {
        "VERSION": PROJECT["project"]["version"]
    }


def test_nobody_runs_it_as_root_unasked() -> None:
    user, _, group = IMAGE.last("USER").text.partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_signals_reach_the_worker() -> None:
    assert IMAGE.last("CMD").text.startswith("["), "a shell between keeps SIGTERM to itself"
    assert IMAGE.last("CMD").words == ("python", "worker.py")
    assert IMAGE.last("STOPSIGNAL").text == "SIGTERM"
    assert not IMAGE.all("ENTRYPOINT")


def test_the_health_check_asks_where_the_worker_answers() -> None:
    check = IMAGE.last("HEALTHCHECK")
    assert check.text.removeprefix("CMD ") == '["python", "worker.py", "--check"]'
    assert set(check.flags) == {"interval", "timeout", "start-period", "retries"}
    assert IMAGE.environment["BATCH_HEALTH_ADDRESS"].startswith("127.0.0.1:")


def test_the_environments_python_comes_first() -> None:
    assert IMAGE.environment["PATH"] == f"{BUILD.last('WORKDIR').text}/.venv/bin:$PATH"
    assert IMAGE.last("COPY").words == (BUILD.last("WORKDIR").text, IMAGE.last("WORKDIR").text)

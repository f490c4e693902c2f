"""The worker's image without a daemon: the Dockerfile's steps in a folder, and what it runs, as anybody."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmail.engine.ports import LOOPBACK, any_free
from tests.dockerfile import build_context, carry_out, read_stages
from tests.program.bench import CHECKOUT, Bench

_, BUILD, IMAGE = read_stages()

REPLAY = """
import asyncio, json, sys
from pathlib import Path
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from worker import WORKFLOW_RUNNER
from workflows.batch_email import BatchEmailWorkflow

async def main():
    files = sorted(Path(sys.argv[1]).glob("v*/*.json"))
    for text in (file.read_text() for file in files):
        began = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]
        await Replayer(
            workflows=[BatchEmailWorkflow],
            workflow_runner=WORKFLOW_RUNNER,
            data_converter=pydantic_data_converter,
        ).replay_workflow(WorkflowHistory.from_json(began["workflowId"], text))
    print(len(files))

if __name__ == "__main__":
    asyncio.run(main())
"""

UID = 54_321  # nobody's: no name, no home


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's working folder, as its build stage makes it."""
    programs = tmp_path_factory.mktemp("bin")
    (programs / "python").symlink_to(python())
    found = {"UV_PYTHON": str(programs / "python"), "PATH": f"{programs}{os.pathsep}{with_uv()}"}
    folder = Path(tempfile.mkdtemp(prefix="batchmail-image-"))
    folder.chmod(0o755)
    try:
        carry_out(BUILD, folder, os.environ | found)
        yield folder
    finally:
        shutil.rmtree(folder)


def python() -> str:
    """The image's Python where this machine has it, else the tests' own."""
    minor = ".".join(IMAGE.image.partition(":")[2].split(".")[:2])
    command = ["uv", "python", "find", "--no-project", "--no-python-downloads", minor]
    found = subprocess.run(command, env=os.environ | {"PATH": with_uv()}, capture_output=True, text=True)
    return found.stdout.strip() or sys.executable


def with_uv() -> str:
    """PATH, and the uv that scripts/setup.sh gets where there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return os.pathsep.join([os.environ["PATH"], str(cache / "batchmail" / "uv" / "bin")])


def as_anybody(*command: str) -> list[str]:
    """`command` by a user who owns nothing; where we are root, else by ourselves.

    May look through the folders on the way to this machine's Python, as everybody may in the image.
    """
    if os.geteuid() != 0:
        return list(command)
    look = "-all,+dac_read_search"
    ids = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    return ["setpriv", *ids, f"--inh-caps={look}", f"--ambient-caps={look}", *command]


def environment(app: Path, **settings: str) -> dict[str, str]:
    """What a container's process has: the image's variables, the settings, and no home to write to."""
    found = {
        name: value.replace("/app", str(app)).replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        for name, value in IMAGE.environment.items()
    }
    mark = {"BATCHMAIL_TEST_SESSION": os.environ["BATCHMAIL_TEST_SESSION"]}
    return found | {"HOME": "/", "TEMPORAL_CONFIG_FILE": os.devnull} | mark | settings


def run(app: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the image to its end."""
    return subprocess.run(
        as_anybody(*command),
        cwd=app,
        env=environment(app, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_its_environment_has_what_the_worker_needs_and_no_developers_tool(app: Path) -> None:
    installed = {
        path.name.partition("-")[0] for path in (app / ".venv").glob("lib/*/site-packages/*.dist-info")
    }
    assert {"temporalio", "aiosmtplib", "obstore", "uvloop"} <= installed
    assert not installed & {"pytest", "mypy", "ruff", "hypothesis", "playwright"}


def test_it_holds_what_was_let_into_the_build_and_nothing_else(app: Path) -> None:
    found = {str(path.relative_to(app)) for path in app.rglob("*") if path.is_file()}
    ours = {path for path in found if not path.startswith(".venv/") and "__pycache__" not in path}
    assert ours == build_context()


def test_everything_is_compiled_for_who_cannot_write_there(app: Path) -> None:
    (version,) = (path.name for path in (app / ".venv" / "lib").iterdir())
    tag = f"cpython-{version.removeprefix('python').replace('.', '')}"
    for path in map(Path, build_context()):
        if path.suffix == ".py":
            assert (app / path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").exists(), path


def test_anybody_may_read_all_of_it(app: Path) -> None:
    for path in app.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & (0o001 if path.is_dir() else 0o004), path


@pytest.mark.parametrize("program", ["worker.py", "starter.py"])
def test_its_programs_start_as_a_user_without_a_name_or_a_home(app: Path, program: str) -> None:
    said = run(app, "python", program, "--help")
    assert said.returncode == 0, said.stderr
    assert "--debug" in said.stdout


def test_batches_that_others_began_go_on_in_it(app: Path) -> None:
    """Recorded histories replay under the image's Python: asyncio is not the same in all."""
    said = run(app, "python", "-c", REPLAY, str(CHECKOUT / "tests" / "histories"))
    assert said.returncode == 0, said.stderr
    assert int(said.stdout) >= 7


def test_it_runs_as_somebody_else_who_cannot_write_there(app: Path) -> None:
    look = "import os; print(os.geteuid(), os.access('.', os.W_OK, effective_ids=True))"
    said = run(app, "python", "-c", look)
    assert said.stdout.split() == ([str(UID), "False"] if os.geteuid() == 0 else [str(os.geteuid()), "True"])


async def test_its_worker_mails_a_batch_is_healthy_and_ends_at_sigterm(app: Path, bench: Bench) -> None:
    settings = bench.environment | {"BATCH_HEALTH_ADDRESS": f"{LOOPBACK}:{any_free().ui}"}
    check = json.loads(IMAGE.last("HEALTHCHECK").text.removeprefix("CMD "))
    before = sorted(app.rglob("*"))
    handle = await bench.start(10, slice_size=2)
    give_away(bench.store.root)
    log = bench.folder / "image.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(  # noqa: ASYNC220 - at once, like the others of the bench
            as_anybody(*IMAGE.last("CMD").words),
            cwd=app,
            env=environment(app, **settings),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        bench.assert_everyone_once(await asyncio.wait_for(handle.result(), 60))
        async with asyncio.timeout(60):  # Temporal may be slow to answer it
            while (await asyncio.to_thread(run, app, *check, **settings)).returncode != 0:
                pass
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait(10)
    assert run(app, *check, **settings).returncode == 1
    assert sorted(app.rglob("*")) == before, "nothing was written there"


def give_away(folder: Path) -> None:
    """Let `folder` be that of whoever runs the image."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, UID, UID)

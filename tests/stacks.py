"""The production Temporal server on Postgres, for tests: one for all of them, and ones of a test's own.

- `stack`: shared by all tests of the session, whatever process runs them, with the Web UI. Its processes are
  not to be stopped, its namespace not to be changed; a task queue of its own keeps a test apart.
- `own_stack`: fresh, of this test alone: it may be killed.
- `make_stack`: makes such ones, with options (see scripts.server.Stack).
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchmail.engine.waiting import Wait, locked, try_lock, unlock
from batchmail.settings import CHECKOUT
from scripts.server import Stack

MakeStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack that all tests share."""
    with shared_stack(_shared_folder(tmp_path_factory) / "stack") as shared:
        yield shared


@pytest.fixture(scope="session")
def fresh_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stack that ran and did nothing, from which others begin: half their start is saved."""
    shared = _shared_folder(tmp_path_factory)
    made = shared / "fresh"
    with locked(shared / "fresh.turn", _wait("Waiting for another process to make fresh data …")):
        if not made.exists():
            with Stack(shared / "fresh.new"):
                pass
            (shared / "fresh.new").rename(made)
    return made


def begin_from(fresh_data: Path, folder: Path) -> None:
    """Make the folder of a stack with fresh data in it, which stays that of Postgres's user."""
    folder.mkdir(mode=0o700)
    data = [fresh_data / "postgres", fresh_data / "postgres-password"]
    subprocess.run(["cp", "-a", *data, folder], check=True)


@pytest.fixture
def make_stack(tmp_path: Path, fresh_data: Path) -> Iterator[MakeStack]:
    """Makes and starts stacks of this test alone, and ends them with it: by force, which is quick."""
    with ExitStack() as started:

        def make(name: str = "stack", **options: Any) -> Stack:
            folder = tmp_path / name
            if not folder.exists():
                begin_from(fresh_data, folder)
            made = Stack(folder, **options)
            made.start()
            started.callback(made.stop)
            started.callback(made.kill_all)
            return made

        yield make


@pytest.fixture
def own_stack(make_stack: MakeStack) -> Stack:
    """A stack of this test alone."""
    return make_stack()


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's folder; processes that share the tests (pytest-xdist) have folders of their own in it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def shared_stack(folder: Path) -> Iterator[Stack]:
    """The stack of a folder, run by a process of its own: its first user starts it, its last one stops it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    place = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
    running = folder / "running"
    with locked(folder / "turn", _wait("Waiting for another process to start the stack …")):
        if not running.exists():
            _start(folder, running)
        fcntl.flock(place, fcntl.LOCK_SH)
    try:
        yield Stack(folder)
    finally:
        with locked(folder / "turn", _wait("Waiting for another process to stop the stack …")):
            if try_lock(place):
                pid = int(running.read_text())
                running.unlink()
                _stop(pid, folder)
            unlock(place)


def _start(folder: Path, running: Path) -> None:
    log = folder / "stack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.server", "--folder", folder, "--any-ports"],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    waiting = _wait("Waiting for the stack to start …")
    while "is up" not in log.read_text():
        assert process.poll() is None, f"the stack did not start: {log.read_text()}"
        assert waiting.again(), f"the stack takes too long to start: {log.read_text()}"
    running.write_text(str(process.pid))


def _stop(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGTERM)
    lock = os.open(folder / "server.lock", os.O_RDWR)
    waiting = _wait("Waiting for the stack to stop …")
    while not try_lock(lock):
        assert waiting.again(), f"the stack (process {pid}) does not stop"
    unlock(lock)


def _wait(text: str) -> Wait:
    return Wait(text, seconds=90, say=lambda told: print(told, file=sys.stderr), given_up=threading.Event())

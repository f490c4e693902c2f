"""The Temporal servers of chaos: each can be killed, and comes back on what it had committed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.engine.server_process import ServerFiles, is_running, read
from batchmail.errors import EngineError
from batchmail.settings import read_settings
from scripts.server import Stack
from tests.chaos.schedule import Schedule, Server

_TRIES = 5

T = TypeVar("T")


class Engine(Protocol):
    """A server; what is killed stays away until `revive`."""

    @property
    def address(self) -> str: ...
    def start(self) -> None:
        """Start everything, and wait until it serves. Raises EngineError."""

    def kill_server(self) -> None: ...
    def kill_database(self) -> None: ...
    def revive(self) -> None:
        """Start again whatever is dead, and wait until it serves."""

    def stop(self) -> None:
        """End everything, whatever state it is in, also where nothing was started."""


class Embedded:
    """The server of `--dev`, on a SQLite file: server and database are one process."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state"
        self._files = ServerFiles(self._state)
        self._uses: list[DevServer] = []
        self.address = ""

    def start(self) -> None:
        self.revive()

    def kill_server(self) -> None:
        living = read(self._files)
        if living is not None and is_running(self._files):
            with suppress(ProcessLookupError):
                os.kill(living.pid, signal.SIGKILL)

    kill_database = kill_server

    def revive(self) -> None:
        use = DevServer(self._state, _say, cli=read_settings().batch_temporal_cli, usual=any_free())
        self.address = _until_it_is_up(use.enter).address
        self._uses.append(use)

    def stop(self) -> None:
        self.kill_server()
        for use in self._uses:
            use.leave()


class Production:
    """The server of `make server`, on a Postgres of its own that begins from `fresh`."""

    def __init__(self, folder: Path, fresh: Path, schedule: Schedule) -> None:
        place = folder / "stack"
        place.mkdir(mode=0o700)
        data = [fresh / "postgres", fresh / "postgres-password"]
        subprocess.run(["cp", "-a", *data, place], check=True)
        often, long = schedule.failing_calls, schedule.long_history
        update = {"Timeout": often / 4, "ExecuteAndTimeout": often * 3 / 4}
        self._stack = Stack(
            place,
            _say,
            faults={"ExecutionStore": {"UpdateWorkflowExecution": update}} if often else None,
            seed=schedule.seed,
            dynamic_config={"limit.historyCount.suggestContinueAsNew": long} if long else None,
        )

    @property
    def address(self) -> str:
        return self._stack.address

    def start(self) -> None:
        self._stack.start()

    def kill_server(self) -> None:
        self._stack.temporal.kill()

    def kill_database(self) -> None:
        self._stack.postgres.kill()

    def revive(self) -> None:
        _until_it_is_up(self._start)

    def stop(self) -> None:
        self._stack.kill_all()
        self._stack.stop()

    def _start(self) -> None:
        if not self._stack.postgres.process.is_running:
            self._stack.postgres.start()
        if not self._stack.temporal.process.is_running:
            self._stack.temporal.start()
        self._stack.temporal.wait_ready()


def _until_it_is_up(start: Callable[[], T]) -> T:
    """What `start` comes to. One that was killed again while it started, or lost its database or for a moment
    its port, is started once more; raises EngineError when that does not help."""
    for _ in range(_TRIES - 1):
        with suppress(EngineError):
            return start()
    return start()


def make_fresh(folder: Path) -> None:
    """A stack that ran and did nothing, in this folder: others begin from its data, which is quicker."""
    with Stack(folder, _say):
        pass


def engine_of(schedule: Schedule, folder: Path, fresh: Path) -> Engine:
    """The schedule's server, to run in this folder; `fresh`: what `make_fresh` made, for the one on
    Postgres."""
    return Embedded(folder) if schedule.server is Server.EMBEDDED else Production(folder, fresh, schedule)


def _say(text: str) -> None:
    """What takes long is no news here."""

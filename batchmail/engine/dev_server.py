"""The embedded development server: a real Temporal server on a SQLite file in the state folder.

Its life: the first user starts it, later ones find it, the last one stops it. All rests on three locks that
the kernel releases when their holder dies, however it dies:

1. `temporal.lock`: who starts or stops the server holds it, so two never do so at once.
2. `temporal.users`: every user shares it. Who leaves and can have it alone was the last one.
3. `temporal.json`: the server itself holds it (see server_process.py). Two servers never share a database.

A user killed by -9 leaves the server running; the next one finds it, with all its workflows.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import quote

from batchmail.engine import server_process as process
from batchmail.engine.ports import LOOPBACK, USUAL, Ports, candidates
from batchmail.engine.temporal_cli import find_temporal
from batchmail.engine.waiting import Say, Wait, locked, try_lock, unlock
from batchmail.errors import EngineError

_START = 60.0  # seconds for a server to answer for the first time
_ANSWER = 10.0  # seconds for a server that was found to answer
_TURN = 1800.0  # seconds to wait for another process: it may be building the server
_STOP = 15.0  # seconds to end by itself; it takes about one


class Running(NamedTuple):
    """A development server that answers."""

    ports: Ports

    @property
    def address(self) -> str:
        """Host and port for a client."""
        return f"{LOOPBACK}:{self.ports.temporal}"

    @property
    def ui_url(self) -> str:
        """The Web UI."""
        return f"http://{LOOPBACK}:{self.ports.ui}"

    def workflow_url(self, workflow_id: str) -> str:
        """The Web UI's page of one workflow."""
        return f"{self.ui_url}/namespaces/default/workflows/{quote(workflow_id, safe='')}"


class DevServer:
    """One use of the state folder's server: entering starts or finds it, leaving stops it as its last user.

    Blocks its thread; in an event loop use `dev_server`. `say` hears what takes longer than two seconds.
    `cli` is the setting BATCH_TEMPORAL_CLI; `usual` are the ports taken where they are free.
    """

    def __init__(self, state: Path, say: Say, *, cli: Path | None = None, usual: Ports = USUAL) -> None:
        self._state = state.expanduser().resolve()
        self._files = process.ServerFiles(self._state)
        self._say, self._cli, self._usual = say, cli, usual
        self._given_up = threading.Event()
        self._turn = threading.Lock()
        self._place: int | None = None

    def __enter__(self) -> Running:
        return self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def enter(self) -> Running:
        """Find or start the server. Raises EngineError, SettingsError."""
        with self._turn:
            try:
                self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._start_lock(_TURN):
                    running = self._find() or self._start()
                    self._place = os.open(self._state / "temporal.users", os.O_RDWR | os.O_CREAT, 0o600)
                    fcntl.flock(self._place, fcntl.LOCK_SH)
                    return running
            except EngineError:  # which is an OSError too
                raise
            except OSError as error:
                raise EngineError(f"The state folder {self._state} cannot be used: {error}.") from None

    def give_up(self) -> None:
        """End an `enter` that another thread is in: it raises EngineError soon."""
        self._given_up.set()

    def leave(self) -> None:
        """Stop using the server; the last user stops it. Never raises: what is left is left to the next."""
        with self._turn, suppress(EngineError, OSError):
            self._given_up.clear()
            if self._place is None:
                return
            try:
                with self._start_lock(2 * _STOP):
                    living = process.read(self._files)
                    # Alone at last? Whoever comes next waits for the start lock.
                    if living and process.is_running(self._files) and try_lock(self._place):
                        self._stop(living)
                        self._files.record.unlink()
            finally:
                unlock(self._place)
                self._place = None

    def _find(self) -> Running | None:
        """The server that is running already; one that does not answer is ended."""
        if not process.is_running(self._files):
            return None
        writing = self._wait("Waiting for the Temporal server's first words …", _ANSWER)
        while (living := process.read(self._files)) is None:
            if not writing.again():
                raise EngineError(
                    f"A Temporal server is using {self._files.database}, but {self._files.record} does not "
                    "say which: end that server first."
                )
        answering = self._wait(f"Waiting for the Temporal server (pid {living.pid}) to answer …", _ANSWER)
        while process.is_running(self._files):
            if process.is_ready(self._files, living.ports):
                return Running(living.ports)
            if not answering.again():
                self._say(f"The Temporal server (pid {living.pid}) does not answer: it is replaced.")
                self._stop(living)
        return None

    def _start(self) -> Running:
        program = find_temporal(self._cli, self._say, self._given_up)
        # A record without a server tells of one that died: whoever used it looks for it at its ports.
        former = process.read(self._files)
        for ports in candidates(former.ports if former else None, self._usual):
            server = process.launch(program, self._files, ports)
            starting = self._wait("Starting Temporal's development server …", _START)
            try:
                while server.poll() is None and starting.again():
                    if process.is_ready(self._files, ports):
                        return Running(ports)
            except BaseException:
                server.kill()
                server.wait()
                raise
            silent = server.poll() is None
            server.kill()
            server.wait()
            if silent or not process.lost_its_port(self._files):
                break
        raise EngineError(
            f"Temporal's development server did not come up: see {self._files.log}, which ends with "
            f"{process.last_words(self._files) or 'nothing'!r}."
        )

    def _stop(self, living: process.Living) -> None:
        stopping = self._wait("Stopping Temporal's development server …", _STOP)
        dying = self._wait("Killing Temporal's development server …", 2 * _STOP)
        if not process.stop(self._files, living, stopping, dying):
            raise EngineError(f"The Temporal server (pid {living.pid}) cannot be ended.")

    def _start_lock(self, seconds: float) -> AbstractContextManager[None]:
        text = f"Waiting for another process that starts or stops the server in {self._state} …"
        return locked(self._state / "temporal.lock", self._wait(text, seconds))

    def _wait(self, text: str, seconds: float) -> Wait:
        return Wait(text, seconds=seconds, say=self._say, given_up=self._given_up)


@asynccontextmanager
async def dev_server(state: Path, say: Say, *, cli: Path | None = None) -> AsyncIterator[Running]:
    """Use the development server of a state folder; its last user stops it, also on cancellation (Ctrl-C).

    `cli` is the setting BATCH_TEMPORAL_CLI. Raises EngineError, SettingsError.
    """
    loop = asyncio.get_running_loop()

    def say_here(text: str) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it the one who listens
            loop.call_soon_threadsafe(say, text)

    server = DevServer(state, say_here, cli=cli)
    entering = asyncio.ensure_future(asyncio.to_thread(server.enter))
    try:
        yield await asyncio.shield(entering)
    finally:
        if not entering.done():
            server.give_up()
            entering.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        # Cancelled again, it goes on all the same: a loop waits for its threads before it ends.
        await asyncio.to_thread(server.leave)

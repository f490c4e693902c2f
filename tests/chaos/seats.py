"""Workers' places: whoever dies there is followed by another, as a supervisor of services sees to it."""

from __future__ import annotations

import asyncio
import signal

from tests.chaos.lines import Line
from tests.program.bench import Bench, WorkerProcess

_RESTART = 0.5  # seconds between a worker's end and its successor's start
_A_LOOK = 0.05
_GRACE = "2s"


class Seat:
    """One place: lines of its own to the server and to the relay, and a worker that uses them."""

    def __init__(self, bench: Bench, to_server: Line, to_relay: Line) -> None:
        self.to_server, self.to_relay = to_server, to_relay
        self.deaths = 0
        self._bench = bench
        self._settings = {
            "TEMPORAL_ADDRESS": to_server.address,
            "SMTP_PORT": str(to_relay.port),
            "BATCH_GRACE": _GRACE,
        }
        self._may_start = asyncio.Event()
        self._may_start.set()
        self.worker = self._launch()

    async def keep(self) -> None:
        """Follow each worker that has ended by another one; until cancelled."""
        while True:
            while self.worker.is_running:  # noqa: ASYNC110 - another process
                await asyncio.sleep(_A_LOOK)
            self.deaths += 1
            await asyncio.sleep(_RESTART)
            await self._may_start.wait()
            self.worker = self._launch()

    def kill(self) -> None:
        """Kill the worker; its successor waits for `open`."""
        self._may_start.clear()
        self._signal(self.worker, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Ask the worker to end; its successor waits for `open`."""
        self._may_start.clear()
        self._signal(self.worker, signal.SIGTERM)

    def open(self) -> None:
        """A successor may start."""
        self._may_start.set()

    def freeze(self) -> WorkerProcess:
        """Freeze the worker, and tell which one it was."""
        self._signal(self.worker, signal.SIGSTOP)
        return self.worker

    def thaw(self, frozen: WorkerProcess) -> None:
        """Let it go on, if it still lives."""
        self._signal(frozen, signal.SIGCONT)

    def _signal(self, worker: WorkerProcess, number: signal.Signals) -> None:
        if worker.is_running:
            worker.signal(number)

    def _launch(self) -> WorkerProcess:
        return self._bench.launch(**self._settings)

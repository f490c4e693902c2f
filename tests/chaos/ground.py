"""The ground of chaos: one schedule's server, relay and workers, all of them real, and the lines between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from batchmail.client import SLICE
from batchmail.engine.connect import connect
from tests.chaos.attempts import Scheduled
from tests.chaos.causes import Harm
from tests.chaos.lines import Line, Lines
from tests.chaos.schedule import ADMIN, Schedule
from tests.chaos.seats import Seat
from tests.chaos.servers import Engine, engine_of
from tests.chaos.threads import whole
from tests.chaos.watch import Watch
from tests.program.bench import Bench
from tests.relays import RelayProcess

_GLANCE = timedelta(seconds=1)
_AGAIN = 0.5  # seconds until what failed is tried again
_LAST_WORDS = 60.0  # seconds for what is on its way to reach the relay


class Ground:
    """Everything that runs. What is killed stays away until it is started again here.

    `harms`: when the relay or a line to it was harmed. `reset`: the slices that were reset by hand.
    """

    def __init__(
        self,
        schedule: Schedule,
        folder: Path,
        engine: Engine,
        lines: Lines,
        relay: RelayProcess,
        client: Client,
        desk: Line,
    ) -> None:
        self.engine = engine
        self.client = client
        self.relay = relay
        self.seats: list[Seat] = []
        self.harms: list[Harm] = []
        self.reset: set[Scheduled] = set()
        self.bench = Bench(
            client, engine.address, folder, relay, schedule.relay, str(schedule.cached_workflows)
        )
        self.batch = self.bench.batch
        self.watch = Watch(*relay_files(folder), ADMIN)
        self._lines, self._desk = lines, desk
        self._diary = folder / "diary.txt"
        self._begun = time.monotonic()
        self._reviving = asyncio.Lock()
        self._relay_lives = True

    @property
    def slices(self) -> dict[str, Any]:
        """How an operator's request names all slices of the batch."""
        execution = WorkflowExecution(workflow_id=self.batch)
        return {"namespace": self.client.namespace, "execution": execution, "type": SLICE}

    def note(self, what: str) -> None:
        """Write down what is done, and when: for whoever looks into a failure."""
        with self._diary.open("a") as diary:
            seconds = time.monotonic() - self._begun
            diary.write(f"{seconds:7.2f} s, {self.watch.accepted:,} accepted: {what}\n")

    @contextmanager
    def harms_the_relay(self) -> Iterator[None]:
        """Meanwhile the relay is dead, or a line to it is harmed."""
        begun = time.time()
        try:
            yield
        finally:
            self.harms.append(Harm(begun, time.time()))

    async def add_seat(self) -> None:
        """One more worker, on lines of its own."""
        number = len(self.seats)
        to_server = await self._lines.line(f"server-{number}", self.engine.address)
        to_relay = await self._lines.line(f"relay-{number}", _address(self.relay))
        self.seats.append(Seat(self.bench, to_server, to_relay))

    async def busy_seat(self) -> Seat:
        """The place of a worker that has a slice in hand, as the server knows it; else the first one."""
        identities: list[str] = []
        with suppress(RPCError):
            handle = self.client.get_workflow_handle(self.batch)
            found = await handle.describe(rpc_timeout=_GLANCE)
            identities = [one.last_worker_identity for one in found.raw_description.pending_activities]
        for identity in identities:
            for seat in self.seats:
                if identity.startswith(f"{seat.worker.pid}@"):
                    return seat
        return self.seats[0]

    async def revive(self) -> None:
        """Start the server again, with its database, wherever it comes back."""
        async with self._reviving:
            await whole(self.engine.revive)
            for line in (self._desk, *(seat.to_server for seat in self.seats)):
                await line.lead(self.engine.address)

    def kill_relay(self) -> None:
        """Kill the relay; its record survives."""
        self.relay.kill()
        self._relay_lives = False

    async def start_relay(self) -> None:
        """Start it again where it is dead: on its port and with its record."""
        if not self._relay_lives:
            self._relay_lives = True
            self.watch.forget_connections()
            await whole(self.relay.restart)

    async def until_done(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask the server until it does it, or says that the batch has ended."""
        while True:
            try:
                await ask()
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def fall_silent(self) -> None:
        """End the workers, and wait until all that they had said has reached the relay: it is in the record,
        or never will be."""
        self.bench.stop()
        for seat in self.seats:
            await seat.to_relay.mend()
        await self.start_relay()
        async with asyncio.timeout(_LAST_WORDS):
            await self.watch.idle()


@asynccontextmanager
async def ground(schedule: Schedule, folder: Path, fresh: Path) -> AsyncIterator[Ground]:
    """Everything started; all of it is ended, whatever happens, also by Ctrl-C."""
    async with AsyncExitStack() as stack:
        engine = engine_of(schedule, folder, fresh)
        stack.callback(engine.stop)
        await whole(engine.start)
        lines = Lines(folder)
        stack.callback(lines.stop)
        await lines.start()
        relay = RelayProcess(relay_folder(folder), schedule.relay)
        stack.callback(relay.stop)
        desk = await lines.line("desk", engine.address)
        client = await connect(address=desk.address)
        made = Ground(schedule, folder, engine, lines, relay, client, desk)
        stack.callback(made.bench.stop)
        for _ in range(schedule.workers):
            await made.add_seat()
        yield made


def relay_folder(folder: Path) -> Path:
    """Where the relay keeps its files."""
    return folder / "relay"


def relay_files(folder: Path) -> tuple[Path, Path]:
    """The relay's record and its events."""
    return relay_folder(folder) / "record.jsonl", relay_folder(folder) / "events.jsonl"


def _address(relay: RelayProcess) -> str:
    return f"{relay.host}:{relay.port}"

"""A worker is killed by -9 in the midst of a batch, and another one goes on with its slices."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from temporalio.client import WorkflowHistory

from batchmail.batch.slices import cut, fan_out
from batchmail.engine.connect import connect
from batchmail.report.table import report_name
from batchmail.store import Store
from benchmarks.engines import Engine
from benchmarks.mailing import Mailing, row
from benchmarks.ours import LONGEST_BATCH, begun, serving, stored
from benchmarks.processes import BenchmarkError, Running
from benchmarks.relays import recording_relay
from tests.relays import Behaviour, Fault, RelayProcess
from tests.relays.process import recorded

_HOLDING = Behaviour(faults=(Fault(stage="recorded", do="hold"),))
_SLOW = Behaviour(faults=(Fault(stage="recorded", do="delay", seconds=0.2),))
_A_LOOK = 0.1


class Takeover(NamedTuple):
    """What one kill came to.

    `given`: seconds from the kill until the server had given the last of the dead worker's slices to another.
    `first`, `last`: until the relay accepted a recipient again of the first and of the last of them.
    `in_doubt`: recipients; `most`: one a connection for each attempt that was superseded.
    """

    given: float
    first: float
    last: float
    in_doubt: int
    most: int


def takeover(
    folder: Path, engine: Engine, mailing: Mailing, connections: int, settings: dict[str, str]
) -> Takeover:
    """Kill the worker of a batch that is named as the folder.

    Raises BenchmarkError when somebody was lost, or mailed twice and not named.
    """
    folder.mkdir()
    with recording_relay(folder, _HOLDING) as relay:
        scene = _Scene(folder, engine, relay, Store(folder / "store"), settings)
        try:
            return asyncio.run(asyncio.wait_for(scene.takeover(mailing, connections), LONGEST_BATCH))
        except TimeoutError:
            raise BenchmarkError("a batch whose worker is killed does not go on") from None


class _Scene(NamedTuple):
    folder: Path
    engine: Engine
    relay: RelayProcess
    store: Store
    settings: dict[str, str]

    async def takeover(self, mailing: Mailing, connections: int) -> Takeover:
        relay = self.relay
        slices = cut(mailing.recipients, connections)
        width = fan_out(slices, connections)
        slice_of = {row(number)[0]: (number - 1) // slices.size for number in range(1, slices.total + 1)}
        client = await connect(address=self.engine.address)
        with self._worker("first") as worker:
            batch = await begun(client, await stored(self.store, mailing, connections), self.folder.name)
            # All mails are held until the second worker serves: so the first one has all slices.
            held = width.at_once * width.connections
            await relay.wait_for(recorded, times=held)
            with self._worker("second"):
                # While mail flows, heartbeats come at once: the whole time-out lies ahead at the kill.
                relay.behave(_SLOW)
                await relay.wait_for(recorded, times=2 * held)
                orphaned = {slice_of[accepted.recipient] for accepted in relay.record()}
                newest = max(event.connection for event in relay.events())
                killed = time.time()
                os.kill(worker.pid, signal.SIGKILL)
                again: dict[int, float] = {}
                while not orphaned <= again.keys():
                    await asyncio.sleep(_A_LOOK)
                    for accepted in relay.record():
                        if accepted.connection > newest:
                            again.setdefault(slice_of[accepted.recipient], accepted.time)
                relay.behave(Behaviour())
                result = await batch.result()
        given, superseded = _later_attempts(await batch.fetch_history())
        in_doubt = await self._in_doubt(batch.id)
        most = superseded * width.connections
        times = Counter(accepted.recipient for accepted in relay.record())
        lost = slice_of.keys() - times.keys()
        silent = {one for one, accepted in times.items() if accepted > 1} - in_doubt
        if lost or silent or result.sent != slices.total or len(in_doubt) > most:
            raise BenchmarkError(
                f"of a batch that ended with {result}, {len(lost):,} were never accepted, {len(silent):,} "
                f"twice in silence; {len(in_doubt):,} are in doubt, where {most:,} may be"
            )
        waits = [again[one] - killed for one in orphaned]
        return Takeover(given - killed, min(waits), max(waits), len(in_doubt), most)

    def _worker(self, name: str) -> AbstractContextManager[Running]:
        return serving(self.folder, name, self.engine, self.store, self.relay.port, self.settings)

    async def _in_doubt(self, batch_id: str) -> set[str]:
        """As the report says."""
        text = (await self.store.get(report_name(batch_id))).decode()
        return {line["address"] for line in csv.DictReader(io.StringIO(text)) if line["in_doubt"] == "yes"}


def _later_attempts(history: WorkflowHistory) -> tuple[float, int]:
    """When the last attempt began that followed a superseded one, and how many were superseded."""
    later = [
        (event.event_time.ToNanoseconds() / 1e9, event.activity_task_started_event_attributes.attempt - 1)
        for event in history.events
        if event.activity_task_started_event_attributes.attempt > 1
    ]
    began, superseded = zip(*later, strict=True)
    return max(began), sum(superseded)

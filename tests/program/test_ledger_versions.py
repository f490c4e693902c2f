"""What a newer worker left, and an older one that cannot read it: nobody is mailed, nobody is lost."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from batchmail.client import attach
from tests.program.bench import DEATHS_NOTICED, Bench, Handle, WorkerProcess
from tests.program.operators import until_each
from tests.relays import Behaviour, Fault

NEWER = Path(__file__).with_name("newer_worker.py")

CONNECTIONS = 5
RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {"connections": CONNECTIONS, "slice_size": RECIPIENTS}
CANNOT = "The slice's ledger was written by another version of this worker."


async def newer_worker(bench: Bench, arm: str = "") -> WorkerProcess:
    """A worker of the version to come."""
    return await bench.worker(arm, under=(sys.executable, str(NEWER)))


async def test_a_ledger_that_cannot_be_read_waits_for_a_worker_that_can(bench: Bench) -> None:
    """Left by a worker that was killed: each attempt of the older one fails, and leaves it as it is."""
    killed = await newer_worker(bench, arm="body_sent:60=kill")
    handle = await bench.start(RECIPIENTS, in_doubt="hold", **ONE_SLICE, heartbeat_timeout=DEATHS_NOTICED)
    assert await killed.ended() == -signal.SIGKILL
    await bench.all_connections_closed()
    mailed = bench.accepted()
    older = await bench.worker()
    await until_each(handle, lambda one: one.attempt > 4 and one.last_failure.message == CANNOT)
    async for standing in (await attach(bench.client, bench.store, handle.id)).watch():
        if CANNOT in [one.what for one in standing.waiting]:
            break
    older.signal(signal.SIGTERM)
    assert await older.ended() == 0
    assert bench.accepted() == mailed
    await newer_worker(bench)
    result = await handle.result()
    bench.assert_the_promise(result)
    assert max(bench.accepted().values()) == 1
    assert 1 <= result.unknown <= CONNECTIONS, "it goes on from the ledger"
    assert result.sent + result.unknown == RECIPIENTS


async def test_a_ledger_handed_back_that_cannot_be_read_waits_for_a_worker_that_can(bench: Bench) -> None:
    """Left by a worker that was stopped: the older one cannot even tell the batch of it."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", skip=60, times=None),)))
    stopped = await newer_worker(bench)
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS)
    stopped.signal(signal.SIGTERM)
    await stopped.says("stopping: slices hand back")
    bench.relay.release()
    assert await stopped.ended() == 0
    mailed = bench.accepted()
    older = await bench.worker()
    await fails_a_task(handle)
    older.signal(signal.SIGTERM)
    assert await older.ended() == 0
    assert bench.accepted() == mailed
    await newer_worker(bench)
    bench.assert_everyone_once(await handle.result())


async def fails_a_task(handle: Handle) -> None:
    """Until a worker has failed at a task of the batch's workflow."""
    async with asyncio.timeout(60):
        while True:
            async for event in handle.fetch_history_events():
                if event.HasField("workflow_task_failed_event_attributes"):
                    return
            await asyncio.sleep(0.1)

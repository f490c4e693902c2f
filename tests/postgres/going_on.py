"""What every fault of the server's side must come to: the batch goes on by itself, and keeps the promise."""

from __future__ import annotations

import asyncio

from batchmail.batch.result import BatchResult
from batchmail.client import Batch
from scripts.server import Stack
from tests.program.bench import Bench, Handle


async def revive(stack: Stack) -> None:
    """Start again what was killed."""

    def start() -> None:
        if not stack.postgres.process.is_running:
            stack.postgres.start()
        if not stack.temporal.process.is_running:
            stack.temporal.start()
        stack.temporal.wait_ready()

    await asyncio.to_thread(start)


async def assert_that_it_goes_on(bench: Bench, handle: Handle, connections: int) -> BatchResult:
    """To its end, with nobody lost, and no more in doubt than one a connection for each attempt that ended
    without a result; and there was one."""
    result = await Batch(bench.client, handle.id).result()
    rows = bench.assert_the_promise(result)
    superseded = await superseded_attempts(handle)
    assert superseded >= 1, "the fault met the batch on its way"
    assert sum(row.in_doubt == "yes" for row in rows) <= connections * superseded
    assert result.sent + result.unknown == result.total
    return result


async def superseded_attempts(handle: Handle) -> int:
    """How many attempts of slices ended without a result."""
    return sum(
        [
            event.activity_task_started_event_attributes.attempt - 1
            async for event in handle.fetch_history_events()
            if event.HasField("activity_task_started_event_attributes")
        ]
    )

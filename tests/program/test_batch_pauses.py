"""Pause, resume and cancel: slices hand back, nothing is lost, nobody is in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import PausedBy, Progress
from batchmail.batch.result import Status
from tests.program.bench import KEPT_OR_NOT, Bench, Handle
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

RECIPIENTS = 600
CONNECTIONS = 5
IN_SLICES: dict[str, Any] = {"connections": CONNECTIONS, "slice_size": 200}

SLOWLY = Behaviour(
    faults=(
        Fault(stage="dot", do="hold", skip=50, times=CONNECTIONS),
        Fault(stage="dot", do="delay", seconds=0.05),
    )
)
"""The relay holds the mails after the first fifty; once let go, a slice takes longer than to hear of a
pause."""


async def until(handle: Handle, reached: Callable[[Progress], bool]) -> Progress:
    """The batch's progress, once it has `reached` what is asked. A look that fails is taken again."""
    async with asyncio.timeout(60):
        while True:
            with suppress(RPCError, WorkflowQueryFailedError):
                progress: Progress = await handle.query("progress", result_type=Progress)
                if reached(progress):
                    return progress
            await asyncio.sleep(0.05)


def rests(progress: Progress) -> bool:
    """Whether it is paused, and all slices have handed back."""
    return progress.paused is not None and not progress.slices_running


@pytest.mark.behaviour(SLOWLY)
@KEPT_OR_NOT
async def test_a_paused_batch_mails_nobody_until_it_is_resumed(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **IN_SLICES)
    await bench.relay.wait_for(recorded, times=50)
    await handle.signal("pause")
    bench.relay.release()
    progress = await until(handle, rests)
    assert progress.paused is not None
    assert progress.paused.by is PausedBy.OPERATOR
    accepted = sum(bench.accepted().values())
    assert accepted < RECIPIENTS
    assert progress.settled == {Outcome.SENT: accepted}, "what is handed back is known"
    await bench.all_connections_closed()
    assert sum(bench.accepted().values()) == accepted
    await handle.signal("resume")
    bench.assert_everyone_once(await handle.result())
    assert (await handle.query("progress", result_type=Progress)).paused is None


@pytest.mark.behaviour(SLOWLY)
@KEPT_OR_NOT
async def test_a_paused_batch_can_be_cancelled(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, admins=("admin@example.org",), **IN_SLICES)
    await bench.relay.wait_for(recorded, times=50)
    await handle.signal("pause")
    bench.relay.release()
    await until(handle, rests)
    accepted = sum(bench.accepted().values())
    await handle.cancel()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    assert (result.sent, result.suppressed) == (accepted, RECIPIENTS - accepted)
    assert bench.accepted()["admin@example.org"] == 1
    assert (await handle.query("progress", result_type=Progress)).paused is None


async def test_a_batch_that_is_started_paused_mails_nobody_before_it_is_resumed(bench: Bench) -> None:
    request = await bench.request(20)
    handle = await bench.client.start_workflow(
        "BatchEmailWorkflow",
        request,
        id=bench.batch,
        task_queue=bench.queue,
        start_signal="pause",
    )
    await bench.worker()
    progress = await until(handle, lambda progress: progress.paused is not None and progress.total > 0)
    assert (progress.slices_left, progress.slices_running) == (10, 0)
    assert not bench.accepted()
    await handle.signal("resume")
    await handle.result()
    assert len(bench.accepted()) == 20


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="rcpt", reply="450 4.2.0 later", times=20),)))
async def test_deferred_recipients_wait_while_the_batch_is_paused(bench: Bench) -> None:
    await bench.worker()
    soon = timedelta(seconds=10)  # yet not before the pause
    handle = await bench.start(20, connections=5, slice_size=20, retry_delays=(soon,))
    await until(handle, lambda progress: progress.deferred > 0)
    await handle.signal("pause")
    paused = await until(handle, rests)
    assert (paused.deferred, paused.slices_left) == (20, 1)
    history = [event async for event in handle.fetch_history_events()]
    assert any(event.HasField("timer_canceled_event_attributes") for event in history), "nothing wakes them"
    await handle.signal("resume")
    bench.assert_everyone_once(await handle.result())

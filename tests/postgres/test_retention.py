"""Temporal forgets a batch some time after its end, never before; the store knows it for good."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from batchmail.client import find
from tests.program.bench import Bench, Handle
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.stacks import MakeStack

SHORTEST = timedelta(seconds=1)

AT_ONCE = {"system.namespaceMinRetentionLocal": "1s", "history.retentionTimerJitterDuration": "0s"}
"""Unless told otherwise the server takes no retention below an hour, and forgets up to half an hour late."""


@pytest.fixture
def temporal_server(make_stack: MakeStack) -> str:
    """The address of a server that forgets what has ended a second later."""
    return make_stack(retention=SHORTEST, dynamic_config=AT_ONCE).address


async def test_a_batch_that_runs_longer_than_retention_is_not_forgotten(bench: Bench) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", match="reader-3@"),)))
    await bench.worker()
    handle = await bench.start(10)
    await bench.relay.wait_for(lambda event: event.event == "dot" and "reader-3@" in event.address)
    await forgotten(await ended_at_once(bench))
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    result = asyncio.create_task(handle.result())
    bench.relay.release()
    bench.assert_everyone_once(await result)


async def test_after_retention_the_same_command_shows_the_result_and_mails_nobody(
    bench: Bench, desk: Desk
) -> None:
    desk.write_list(10)
    await bench.worker()
    first = desk.call("--json", code=0).object
    await forgotten(bench.client.get_workflow_handle(first["batch_id"]))
    assert desk.call("--json", code=0).object == first
    assert len(bench.relay.record()) == 10
    assert Path(first["report"]).read_text().count("\n") == 11


async def test_after_retention_programs_get_the_result_too_and_mail_nobody(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(10)
    first = await handle.result()
    await forgotten(handle)
    found = await find(bench.client, bench.store, handle.id)
    assert found is not None
    assert await found.result() == first
    assert await (await bench.start(10)).result() == first, "a workflow of this name started anew"
    bench.assert_everyone_once(first)


async def ended_at_once(bench: Bench) -> Handle:
    """A workflow that has ended by now: once Temporal has forgotten it, retention is over for its like."""
    handle: Handle = await bench.client.start_workflow(
        "Nobody", id=f"nobody-{bench.batch}", task_queue="nobody"
    )
    await handle.terminate()
    return handle


async def forgotten(handle: WorkflowHandle[Any, Any]) -> None:
    """Until Temporal knows nothing of the workflow any more."""
    async with asyncio.timeout(60):
        while await known(handle):  # noqa: ASYNC110 - another process forgets
            await asyncio.sleep(0.1)


async def known(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether Temporal knows the workflow."""
    try:
        await handle.describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True

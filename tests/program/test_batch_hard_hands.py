"""Terminate, Reset, several starts at once: nobody is lost, and nobody is silently mailed twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus

from batchmail.batch.options import BatchRequest
from batchmail.batch.result import Status
from batchmail.client import Batch, start
from tests.program.bench import Bench, held_after
from tests.program.resets import WhichTask, reset
from tests.program.search import are_in_use, is_found
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

ADMIN = "admin@example.org"
RECIPIENTS = 2_000
CONNECTIONS = 5
TRIED_AGAIN = 20
"""Of two hundred: those whose number ends with 0."""


def the_first(tasks: list[int]) -> int:
    """The batch's whole life anew."""
    return tasks[0]


def the_middle(tasks: list[int]) -> int:
    """From somewhere on its way."""
    return tasks[len(tasks) // 2]


def the_last(tasks: list[int]) -> int:
    """The Web UI's first proposal."""
    return tasks[-1]


async def the_command(bench: Bench, request: BatchRequest) -> Batch:
    """What the starter does, whatever has become of the batch."""
    return await start(bench.client, bench.store, f"b-{bench.queue}", request, task_queue=bench.queue)


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
@pytest.mark.behaviour(held_after(700))
async def test_a_batch_terminated_under_its_workers_goes_on_with_the_same_command(
    bench: Bench, in_doubt: str
) -> None:
    await bench.worker()
    request = await bench.request(RECIPIENTS, in_doubt=in_doubt, connections=CONNECTIONS, slice_size=500)
    batch = await the_command(bench, request)
    await bench.relay.wait_for(recorded, times=700)
    await bench.client.get_workflow_handle(batch.id).terminate("by hand")
    bench.relay.release()
    again = await the_command(bench, request)
    assert again.began
    result = await again.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent + result.unknown == RECIPIENTS
    assert result.unknown <= 1_000, "only slices that were under way are in doubt"
    if in_doubt == "hold":
        assert max(bench.accepted().values()) == 1
    else:
        assert result.sent == RECIPIENTS


async def test_a_terminated_batch_is_found_as_terminated_and_nothing_tells_the_admins(bench: Bench) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", do="hold", match="reader-9@"),)))
    await bench.worker()
    await are_in_use(bench)
    handle = await bench.start(10, admins=(ADMIN,))
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-9@" in event.address)
    await handle.terminate("by hand")
    bench.relay.release()
    await is_found(bench.client, handle.id, "ExecutionStatus = 'Terminated' AND BatchmailStatus = 'mailing'")
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
    await bench.all_connections_closed()
    assert ADMIN not in bench.accepted()


@pytest.mark.parametrize("which", [the_first, the_middle, the_last])
@pytest.mark.behaviour(held_after(900))
async def test_a_batch_that_is_reset_on_its_way_goes_on(bench: Bench, which: WhichTask) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, admins=(ADMIN,), connections=CONNECTIONS, slice_size=250)
    waiting = asyncio.create_task(Batch(bench.client, handle.id).result())
    await bench.relay.wait_for(recorded, times=900)
    again = await reset(bench, handle.id, which)
    bench.relay.release()
    result = await again.result()
    assert await waiting == result, "who waits for the batch does not notice"
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent == RECIPIENTS
    assert bench.accepted()[ADMIN] == 1


@pytest.mark.parametrize("which", [the_first, the_middle, the_last])
async def test_a_batch_that_is_reset_after_its_end_mails_nobody(bench: Bench, which: WhichTask) -> None:
    await bench.worker()
    handle = await bench.start(100, admins=(ADMIN,), connections=2, slice_size=20)
    before = await handle.result()
    accepted = bench.accepted()
    after = await (await reset(bench, handle.id, which)).result()
    assert bench.accepted() == accepted
    assert (after.sent, after.status, after.admin_notified) == (100, Status.COMPLETED, True)
    assert bench.report(after) == bench.report(before)
    bench.assert_the_promise(after)


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
async def test_a_batch_reset_to_between_two_parts_of_its_slice_goes_on(bench: Bench, in_doubt: str) -> None:
    """The slice's first part is done with: only who was to be tried again by the second can be in doubt."""
    later = Fault(stage="rcpt", reply="450 4.2.0 later", match="reader-[0-9]*0@", times=TRIED_AGAIN)
    bench.relay.behave(Behaviour(faults=(later, Fault(stage="dot", do="hold", match="reader-[0-9]*0@"))))
    await bench.worker()
    handle = await bench.start(
        200,
        in_doubt=in_doubt,
        connections=CONNECTIONS,
        slice_size=200,
        retry_delays=(timedelta(seconds=0.2),),
    )
    await bench.relay.wait_for(lambda event: event.event == "dot" and "0@" in event.address)
    (first_part,) = [
        event.event_id
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    ][1:]
    again = await reset(bench, handle.id, lambda tasks: next(task for task in tasks if task > first_part))
    bench.relay.behave(Behaviour())
    result = await again.result()
    await bench.all_connections_closed()
    rows = bench.assert_the_promise(result)
    assert {row.address for row in rows if row.in_doubt == "yes"} <= {
        row.address for row in rows if "0@" in row.address
    }
    assert result.sent + result.unknown == 200
    if in_doubt == "hold":
        assert max(bench.accepted().values()) == 1
    else:
        assert result.sent == 200


async def test_programs_that_start_the_same_batch_at_the_same_instant_share_it(bench: Bench) -> None:
    await bench.worker()
    request = await bench.request(100, connections=CONNECTIONS, slice_size=20)
    batches = await asyncio.gather(*(the_command(bench, request) for _ in range(8)))
    assert sum(batch.began for batch in batches) == 1
    first, *others = await asyncio.gather(*(batch.result() for batch in batches))
    assert all(other == first for other in others)
    bench.assert_everyone_once(first)


async def test_commands_given_at_the_same_instant_mail_a_list_once(desk: Desk, bench: Bench) -> None:
    """Each reads the list and keeps it; all say the same result."""
    desk.write_list(50)
    await bench.worker()
    starters = [desk.start("--json") for _ in range(3)]
    first, *others = [await asyncio.to_thread(starter.ended, 0) for starter in starters]
    assert first.object["sent"] == 50
    assert all(other.object == first.object for other in others)
    assert set(bench.accepted().values()) == {1}


async def test_one_list_under_two_names_is_two_batches_each_whole(bench: Bench) -> None:
    """Who gives names says that they are two; the starter asks first (--again)."""
    await bench.worker()
    handles = [await bench.start(100, batch=f"{name}-{bench.queue}") for name in ("spring", "summer")]
    for handle in handles:
        result = await handle.result()
        assert (result.sent, result.in_doubt_resent, result.unknown) == (100, 0, 0)
        assert {row.in_doubt for row in bench.report(result)} == {"no"}
    assert set(bench.accepted().values()) == {2}
    assert len({entry.message_id for entry in bench.relay.record()}) == 200, "they are other mails"

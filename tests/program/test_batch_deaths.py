"""Whatever dies on the way: nobody is lost, and nobody is silently mailed twice."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from batchmail.batch.ledger import Ledger, LedgerRecord, Settled
from batchmail.batch.options import BatchRequest
from batchmail.batch.places import batch_folder
from batchmail.batch.result import Status
from batchmail.client import Batch, start
from batchmail.report.endings import load_outcomes
from batchmail.report.receipt import load_receipt, save_receipt
from tests.program.bench import DEATHS_NOTICED, KEPT_OR_NOT, Bench, Handle, held_after, waiting
from tests.program.deaf import Deaf
from tests.program.operators import until_each
from tests.program.test_batch_pauses import until
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

CONNECTIONS = 5
"""Of the one slice in these tests: so many may be in doubt for each worker that dies."""

RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {
    "connections": CONNECTIONS,
    "slice_size": RECIPIENTS,
    "heartbeat_timeout": DEATHS_NOTICED,
}

LONG = timedelta(minutes=5)
"""A heartbeat time-out that no test waits for."""


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
@pytest.mark.parametrize("moment", ["intent_acknowledged:60", "body_sent:60"])
async def test_a_killed_worker_leaves_at_most_one_recipient_in_doubt_per_connection(
    bench: Bench, moment: str, in_doubt: str
) -> None:
    victim = await bench.worker(arm=f"{moment}=kill")
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    assert await victim.ended() == -signal.SIGKILL
    await bench.worker()
    result = await handle.result()
    rows = bench.assert_the_promise(result)
    doubtful = [row for row in rows if row.in_doubt == "yes"]
    assert 1 <= len(doubtful) <= CONNECTIONS
    twice = [name for name, times in bench.accepted().items() if times > 1]
    if in_doubt == "hold":
        assert not twice
        assert result.unknown == len(doubtful)
        assert result.sent == RECIPIENTS - result.unknown
    else:
        assert result.sent == RECIPIENTS
        assert result.in_doubt_resent == len(doubtful)
        assert set(twice) <= {row.address for row in doubtful}


async def test_a_worker_killed_again_and_again_still_finishes(bench: Bench) -> None:
    handle = None
    for moment in ("body_sent:20", "intent_acknowledged:20", "handed_back:1"):
        victim = await bench.worker(arm=f"{moment}=kill")
        handle = handle or await bench.start(RECIPIENTS, **ONE_SLICE)
        assert await victim.ended(60) == -signal.SIGKILL
    await bench.worker()
    assert handle is not None
    result = await handle.result()
    assert result.sent == RECIPIENTS
    rows = bench.assert_the_promise(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= 2 * CONNECTIONS


@KEPT_OR_NOT
@pytest.mark.behaviour(held_after(300))
async def test_a_stopped_worker_leaves_nobody_in_doubt(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(2_000, connections=CONNECTIONS, slice_size=1_000)
    await bench.relay.wait_for(recorded, times=300)
    first.signal(signal.SIGTERM)
    await first.says("stopping: slices hand back")
    bench.relay.release()
    assert await first.ended() == 0
    assert 300 <= sum(bench.accepted().values()) < 2_000, "the stop met the batch on its way"
    await bench.worker()
    result = await handle.result()
    assert result.sent == 2_000
    rows = bench.assert_the_promise(result)
    assert {row.in_doubt for row in rows} == {"no"}
    assert set(bench.accepted().values()) == {1}


async def test_a_frozen_worker_begins_nothing_once_it_is_thawed(bench: Bench) -> None:
    async with Deaf(bench) as proxy:
        frozen = await bench.worker(arm="body_sent:60=stop", TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(RECIPIENTS, in_doubt="hold", **ONE_SLICE)
        await frozen.frozen()
        proxy.cut()  # else the server gives it tasks for as long as its polls are open: a minute
        await bench.worker()
        result = await handle.result()
        before = len(bench.relay.events())
        frozen.signal(signal.SIGCONT)
        frozen.signal(signal.SIGTERM)
        assert await frozen.ended() == 0
    begun = [event for event in bench.relay.events()[before:] if event.event in ("mail", "data")]
    assert begun == [], "a superseded attempt begins no transaction"
    rows = bench.assert_the_promise(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= CONNECTIONS
    assert max(bench.accepted().values()) == 1, "under hold nobody is ever accepted twice"


@KEPT_OR_NOT
async def test_a_batch_cancelled_between_two_attempts_mails_nobody_new(bench: Bench) -> None:
    victim = await bench.worker(arm="body_sent:60=kill")
    handle = await bench.start(RECIPIENTS, admins=("admin@example.org",), **ONE_SLICE)
    assert await victim.ended() == -signal.SIGKILL
    await bench.all_connections_closed()  # what the victim had sent off has arrived by then
    mailed = set(bench.accepted())
    await handle.cancel()
    await bench.worker()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    assert set(bench.accepted()) - mailed <= {"admin@example.org"}
    assert result.sent + result.unknown + result.suppressed == RECIPIENTS
    assert result.unknown <= CONNECTIONS
    assert result.suppressed > 0
    assert result.admin_notified
    bench.assert_the_promise(result)


async def test_a_batch_cancelled_before_it_is_opened_mails_nobody_and_says_so(bench: Bench) -> None:
    handle = await bench.start(10)
    await handle.cancel()
    await bench.worker()
    result = await handle.result()
    assert (result.status, result.suppressed) == (Status.CANCELLED, 10)
    assert not bench.accepted()
    bench.assert_the_promise(result)


@KEPT_OR_NOT
@pytest.mark.behaviour(held_after(200))
async def test_a_running_batch_that_is_cancelled_settles_reports_and_notifies(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(3_000, admins=("admin@example.org",), connections=5, slice_size=500)
    await bench.relay.wait_for(recorded, times=200)
    await handle.cancel()
    bench.relay.release()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    assert result.suppressed > 0
    assert result.unknown == 0
    assert result.sent + result.suppressed == 3_000
    assert result.admin_notified
    rows = bench.assert_the_promise(result)
    assert {row.in_doubt for row in rows} == {"no"}


@pytest.mark.behaviour(held_after(200))
async def test_a_worker_whose_heartbeats_answers_are_lost_hands_its_ledger_on(bench: Bench) -> None:
    """The server commits, and the answer is lost with its connection: the attempt settles what is in flight
    and ends, long before its lease does, with all that it knows."""
    async with Deaf(bench) as proxy:
        await bench.worker(TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(2_000, heartbeat_timeout=LONG, connections=5, slice_size=2_000)
        # Who is in flight is acknowledged: no heartbeat is under way until the relay has answered.
        await bench.relay.wait_for(lambda event: event.event == "dot", times=200 + 5)
        proxy.swallow_answers()
        before = datetime.now(UTC)
        bench.relay.release()
        await heartbeat_since(handle, before)
        proxy.pass_answers()
        result = await handle.result()
    bench.assert_everyone_once(result)
    why = [
        event.activity_task_started_event_attributes.last_failure.message
        async for event in handle.fetch_history_events()
        if event.activity_task_started_event_attributes.attempt > 1
    ]
    assert why == ["The server's answer was unclear; the next attempt goes on from this ledger."]


@pytest.mark.behaviour(held_after(200))
async def test_a_worker_that_hears_nothing_until_its_lease_is_over_mails_nobody_twice(bench: Bench) -> None:
    """The server commits, and says nothing: another attempt goes on from what was committed."""
    async with Deaf(bench) as proxy:
        await bench.worker(TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(
            2_000, in_doubt="hold", connections=5, slice_size=2_000, heartbeat_timeout=DEATHS_NOTICED
        )
        await bench.relay.wait_for(recorded, times=200)
        proxy.swallow_answers()
        bench.relay.release()
        await proxy.swallowed()
        await attempt_reached(handle, 2)
        proxy.pass_answers()
        result = await handle.result()
    bench.assert_the_promise(result)
    assert max(bench.accepted().values()) == 1
    assert result.unknown <= 5
    assert result.sent + result.unknown == 2_000


async def test_what_the_server_has_not_acknowledged_is_in_no_outcome_file(bench: Bench) -> None:
    """The relay's last answer reaches a worker that nobody hears any more: it leaves no file that says more
    than the server knows, which the next attempt's would contradict."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", match=f"-{RECIPIENTS}@"),)))
    async with Deaf(bench) as proxy:
        unheard = await bench.worker(TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(RECIPIENTS, **ONE_SLICE)
        await bench.relay.wait_for(lambda event: event.event == "dot" and f"-{RECIPIENTS}@" in event.address)
        await bench.relay.wait_for(recorded, times=RECIPIENTS - 1)
        proxy.lose_requests()
        bench.relay.release()
        await bench.relay.wait_for(recorded, times=RECIPIENTS)
        await unheard.says("an attempt was superseded and has ended")
        proxy.cut()  # else the server gives it tasks for as long as its polls are open
        await bench.worker()
        result = await handle.result()
    rows = bench.assert_the_promise(result)
    assert rows[-1].in_doubt == "yes", "nobody knows what the relay answered"
    said: dict[int, Settled] = {}
    for record in await outcome_files(bench):
        for one in Ledger.read(record).settled():
            assert said.setdefault(one.row, one) == one, "an outcome file contradicts another"
    assert len(said) == RECIPIENTS


@KEPT_OR_NOT
@pytest.mark.behaviour(held_after(200))
async def test_the_relay_comes_back_and_the_batch_goes_on(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(2_000, connections=5, slice_size=1_000)
    await bench.relay.wait_for(recorded, times=200)
    bench.relay.stop_accepting()
    bench.relay.kick()
    progress = await waiting(handle)
    assert "refused" in progress.waiting[0].what
    assert str(bench.relay.port) in progress.waiting[0].what
    bench.relay.accept()
    result = await handle.result()
    bench.assert_the_promise(result)
    assert result.sent == 2_000
    rows = bench.report(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= 5


async def test_what_a_dead_worker_waited_for_is_not_said_for_ever(bench: Bench) -> None:
    bench.relay.stop_accepting()
    victim = await bench.worker()
    handle = await bench.start(10, connections=1, slice_size=10, heartbeat_timeout=DEATHS_NOTICED)
    await waiting(handle)
    victim.signal(signal.SIGKILL)
    bench.relay.accept()
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", match="reader-10@"),)))
    await bench.worker()
    await bench.relay.wait_for(lambda event: event.event == "dot" and "reader-10@" in event.address)
    await until(handle, lambda progress: not progress.waiting)
    bench.relay.release()
    bench.assert_everyone_once(await handle.result())


@pytest.mark.behaviour(held_after(800))
async def test_a_terminated_batch_started_again_goes_on_and_says_who_is_in_doubt(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(2_000, in_doubt="hold", connections=5, slice_size=500)
    await bench.relay.wait_for(recorded, times=800)
    await handle.terminate()
    bench.relay.release()
    first.signal(signal.SIGTERM)
    await first.ended()
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
    await bench.worker()
    again = await bench.start(2_000, in_doubt="hold", connections=5, slice_size=77)
    result = await again.result()
    bench.assert_the_promise(result)
    assert max(bench.accepted().values()) == 1
    assert result.sent + result.unknown == 2_000
    assert result.unknown <= 1_000, "only slices that were under way are in doubt"
    assert result.sent >= 1_000


async def test_a_batch_ended_between_receipt_and_notice_still_tells_the_admins(bench: Bench) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", do="hold", match="admin@"),)))
    await bench.worker()
    request = await bench.request(10, admins=("admin@example.org",))
    await begin(bench, request)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "admin@" in event.address)
    await bench.client.get_workflow_handle(bench.batch).terminate()
    receipt = await load_receipt(bench.store, bench.batch)
    assert receipt is not None
    assert not receipt.admin_notified
    bench.relay.behave(Behaviour())
    again = await begin(bench, request)
    assert again.began
    result = await again.result()
    assert result == receipt.model_copy(update={"admin_notified": True})
    assert result.sent == 10
    told = [entry.message_id for entry in bench.relay.record() if entry.recipient == "admin@example.org"]
    assert 1 <= len(told) <= 2, "the terminated attempt may end what it had begun"
    assert len(set(told)) == 1
    assert sum(bench.accepted().values()) == 10 + len(told)


async def test_a_batch_ended_after_its_notice_is_answered_from_its_receipt(bench: Bench) -> None:
    """The admins have their mail and the receipt says so; the run was terminated before it had ended."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", do="hold", match="admin@"),)))
    worker = await bench.worker()
    request = await bench.request(10, admins=("admin@example.org",))
    await begin(bench, request)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "admin@" in event.address)
    await bench.client.get_workflow_handle(bench.batch).terminate()
    worker.stop()
    receipt = await load_receipt(bench.store, bench.batch)
    assert receipt is not None
    told = receipt.model_copy(update={"admin_notified": True})
    await save_receipt(bench.store, told)
    again = await begin(bench, request)
    assert again.had_ended
    assert await again.result() == told


@pytest.mark.parametrize("activity", ["open_batch", "write_report"])
async def test_what_a_worker_leaves_lying_beside_the_slices_goes_on_elsewhere(
    bench: Bench, activity: str
) -> None:
    """Within a heartbeat time-out: also where nobody ever ran what the server gave to a worker that left."""
    frozen = await bench.worker(arm=f"{activity}:1=stop")
    handle = await bench.start(20, heartbeat_timeout=DEATHS_NOTICED)
    await frozen.frozen()
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


# How it is done


async def attempt_reached(handle: Handle, attempt: int) -> None:
    """Until a slice is at its attempt `attempt`, or has ended."""
    async with asyncio.timeout(60):
        while True:
            pending = (await handle.describe()).raw_description.pending_activities
            if not pending or max(one.attempt for one in pending) >= attempt:
                return
            await asyncio.sleep(0.1)


async def heartbeat_since(handle: Handle, moment: datetime) -> None:
    """Until the server has had a heartbeat of each of the batch's slices after this moment."""
    await until_each(handle, lambda one: one.last_heartbeat_time.ToDatetime(UTC) > moment)


async def outcome_files(bench: Bench) -> list[LedgerRecord]:
    """All that lie in the store for the one slice."""
    folder = f"{batch_folder(bench.batch)}/outcomes/1-{RECIPIENTS}"
    return [await load_outcomes(bench.store, f"{folder}/{name}") for name in await bench.store.names(folder)]


async def begin(bench: Bench, request: BatchRequest) -> Batch:
    """Start the batch as the starter does, or find it."""
    return await start(bench.client, bench.store, bench.batch, request, task_queue=bench.queue)

"""A batch whose history grows long continues in a new run, again and again, and nobody notices.

The server of these tests suggests it after few events, where a real one does so after 4,096.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHistory

from batchmail.batch.carried import MOST_CARRIED, Carried, Told, Untold, pack, unpack
from batchmail.batch.chains import Chain
from batchmail.batch.progress import Doing, Progress, Waiting
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.tasks import LongWait, Notice, Part
from batchmail.client import find, start
from tests.program.bench import DEATHS_NOTICED, KEPT_OR_NOT, Bench, Handle
from tests.program.early_server import early_server
from tests.program.resets import WhichTask, reset
from tests.program.search import is_found
from tests.program.test_batch_pauses import rests, until
from tests.program.test_batch_rejections import HALF
from tests.pure.test_replay import activity, replay
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

EARLY = 40
"""Events after which the server suggests to continue as new."""

RECIPIENTS = 500
ADMIN = "admin@example.org"
SHORT = timedelta(seconds=0.3)
MANY_PARTS: dict[str, Any] = {"connections": 5, "slice_size": 20, "retry_delays": (SHORT, SHORT)}

LATER = Fault(stage="rcpt", reply="450 4.2.0 later", match="reader-[0-9]*7@", times=60)
SLOWLY = Fault(stage="dot", do="delay", seconds=0.01)
HELD = Fault(stage="rcpt", do="hold", match="reader-(450|470|490)@")
"""By the time that the relay comes to them, the batch is in a later run."""
THE_LAST = Fault(stage="rcpt", do="hold", match="reader-500@")


@pytest.fixture(scope="module")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In place of the one that all other tests share."""
    with early_server(tmp_path_factory.mktemp("early"), EARLY) as address:
        yield address


async def runs(bench: Bench, batch: str) -> list[WorkflowHistory]:
    """The histories of all runs of the batch, the first one first."""
    described = (await bench.client.get_workflow_handle(batch).describe()).raw_description
    run_id = described.workflow_execution_info.first_run_id
    found = []
    while run_id:
        found.append(await bench.client.get_workflow_handle(batch, run_id=run_id).fetch_history())
        run_id = (
            found[-1].events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        )
    return found


def mailing_began(first: WorkflowHistory) -> datetime:
    """When the workflow scheduled its first slices, by its own clock: the start of its task's."""
    for event in first.events:
        if event.HasField("workflow_task_started_event_attributes"):
            began = event.event_time.ToDatetime(UTC)
        if activity(event) == "send_slice":
            return began
    raise AssertionError("it has mailed nobody")


async def is_held(bench: Bench) -> None:
    """Until the relay holds somebody."""
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-450@" in event.address)


async def assert_it_was_long(bench: Bench, handle: Handle) -> None:
    """It took several runs, and each of their histories replays."""
    histories = await runs(bench, handle.id)
    assert len(histories) > 2
    for history in histories:
        await replay(history)
        assert len(history.events) < 4 * EARLY


@KEPT_OR_NOT
@pytest.mark.behaviour(Behaviour(faults=(LATER, THE_LAST)))
async def test_a_batch_in_many_runs_with_workers_killed_between_keeps_the_promise(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(
        RECIPIENTS, admins=(ADMIN,), **(MANY_PARTS | {"heartbeat_timeout": DEATHS_NOTICED})
    )
    await bench.relay.wait_for(recorded, times=150)
    first.signal(signal.SIGKILL)
    second = await bench.worker()
    await bench.relay.wait_for(recorded, times=350)
    second.signal(signal.SIGKILL)
    bench.relay.release()
    await bench.worker()
    result = await handle.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent == RECIPIENTS
    assert bench.accepted()[ADMIN] == 1
    await assert_it_was_long(bench, handle)


@pytest.mark.behaviour(Behaviour(faults=(LATER,)))
async def test_a_batch_in_many_runs_mails_everyone_once(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **MANY_PARTS)
    bench.assert_everyone_once(await handle.result())
    await assert_it_was_long(bench, handle)


@pytest.mark.behaviour(Behaviour(faults=(HELD,)))
async def test_who_watches_or_starts_a_batch_in_a_later_run_does_not_notice(bench: Bench) -> None:
    await bench.worker()
    request = await bench.request(RECIPIENTS, **MANY_PARTS)
    batch = await start(bench.client, bench.store, bench.batch, request, task_queue=bench.queue)
    waiting = asyncio.create_task(batch.result())
    await is_held(bench)
    handle: Handle = bench.client.get_workflow_handle(batch.id, result_type=BatchResult)
    described = await handle.describe()
    info = described.raw_description.workflow_execution_info
    assert described.run_id != info.first_run_id, "this is no later run"
    assert described.status is WorkflowExecutionStatus.RUNNING
    progress: Progress = await handle.query("progress", result_type=Progress)
    assert (progress.doing, progress.total) == (Doing.MAILING, RECIPIENTS)
    assert 300 < progress.settled_count <= sum(bench.accepted().values())
    assert progress.as_of is not None
    since_it_began = progress.as_of - mailing_began((await runs(bench, batch.id))[0])
    assert abs(since_it_began - progress.took) < timedelta(milliseconds=1)
    await is_found(bench.client, batch.id, f"BatchmailStatus = 'mailing' AND BatchmailTotal = {RECIPIENTS}")
    found = await find(bench.client, bench.store, batch.id)
    assert found is not None
    await found.check_holds(request)
    again = await start(bench.client, bench.store, batch.id, request, task_queue=bench.queue)
    assert not again.began
    bench.relay.release()
    result = await waiting
    assert await again.result() == result
    bench.assert_everyone_once(result)
    assert result.seconds >= progress.took.total_seconds()


@pytest.mark.behaviour(
    Behaviour(faults=(SLOWLY, Fault(stage="rcpt", do="hold", match="reader-[34][0-9]{2}@")))
)
async def test_a_cancel_while_slices_hand_back_for_a_new_run_is_not_lost(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, admins=(ADMIN,), **MANY_PARTS)
    for _ in range(3):  # in whatever state of the batch they come
        await bench.relay.wait_for(recorded, times=40)
    await handle.cancel()
    bench.relay.release()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent + result.suppressed == RECIPIENTS
    assert result.suppressed > 0
    assert bench.accepted()[ADMIN] == 1


async def test_a_paused_batch_stays_paused_over_its_runs(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **MANY_PARTS)
    held = Fault(stage="rcpt", do="hold", match="reader-4[6-9][0-9]@")  # it cannot end before it is paused
    for times in range(50, RECIPIENTS, 100):
        bench.relay.behave(Behaviour(faults=(SLOWLY, held)))
        await bench.relay.wait_for(recorded, times=times)
        await handle.signal("pause")
        await until(handle, lambda progress: progress.paused is not None)
        bench.relay.release()
        await until(handle, rests)
        await handle.signal("resume")
    bench.assert_everyone_once(await handle.result())
    await assert_it_was_long(bench, handle)


async def test_the_end_is_told_also_where_the_last_slices_end_while_a_new_run_is_wanted(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(10, admins=(ADMIN,))
    result = await handle.result()
    assert result.admin_notified
    assert bench.accepted()[ADMIN] == 1
    history = await handle.fetch_history()
    assert any(
        event.workflow_task_started_event_attributes.suggest_continue_as_new for event in history.events
    )


def the_first(tasks: list[int]) -> int:
    """The run's whole life anew."""
    return tasks[0]


def the_last(tasks: list[int]) -> int:
    """The Web UI's first proposal."""
    return tasks[-1]


@pytest.mark.parametrize("which", [the_first, the_last])
@pytest.mark.behaviour(Behaviour(faults=(HELD,)))
async def test_a_later_run_that_is_reset_goes_on(bench: Bench, which: WhichTask) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **MANY_PARTS)
    await is_held(bench)
    assert len(await runs(bench, handle.id)) > 2
    anew = await reset(bench, handle.id, which)
    bench.relay.release()
    result = await anew.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent == RECIPIENTS


@pytest.mark.behaviour(Behaviour(faults=(HELD,)))
async def test_a_batch_terminated_in_a_later_run_goes_on_with_the_same_command(bench: Bench) -> None:
    await bench.worker()
    request = await bench.request(RECIPIENTS, **MANY_PARTS)
    batch = await start(bench.client, bench.store, bench.batch, request, task_queue=bench.queue)
    await is_held(bench)
    await bench.client.get_workflow_handle(batch.id).terminate("by hand")
    bench.relay.release()
    again = await start(bench.client, bench.store, bench.batch, request, task_queue=bench.queue)
    assert again.began
    result = await again.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent == RECIPIENTS


FULL = Fault(stage="rcpt", reply="452 4.2.2 mailbox full", match="admin@|other@")
ADMINS = (ADMIN, "other@example.org")
PATIENT: dict[str, Any] = {"admins": ADMINS, "retry_delays": (timedelta(seconds=1),) * 60}


@pytest.mark.behaviour(Behaviour(faults=(*HALF.faults, FULL)))
async def test_a_question_that_is_answered_before_a_run_takes_it_up_is_asked_no_more(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **(MANY_PARTS | PATIENT))
    await until(handle, rests)
    carried = await handed_over(bench, lambda carried: carried.paused is not None)
    (question,) = carried.told.notices
    await handle.terminate("to begin with an answer")
    await due(question)
    bench.relay.behave(HALF)
    anew = await begin(bench, carried, PATIENT, start_signal="resume")
    result = await anew.result()
    assert result.sent == result.rejected == RECIPIENTS // 2
    assert bench.accepted()[ADMIN] == 1, "the end is told"
    told = [event async for event in anew.fetch_history_events() if activity(event) == "notify_admin"]
    assert len(told) < 2, "it was asked"


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="dot", do="delay", seconds=0.2),)))
async def test_a_batch_too_large_for_a_new_run_goes_on_whatever_its_notices_wait_for(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **(MANY_PARTS | PATIENT))
    carried = await handed_over(bench, lambda carried: True)
    await handle.terminate("to begin with more")
    slower = Fault(stage="dot", do="delay", seconds=1.0)
    bench.relay.behave(Behaviour(faults=(slower, Fault(stage="rcpt", do="hold", match="admin@"))))
    anew = await begin(bench, too_large(carried), PATIENT)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "admin@" in event.address)
    while not (await anew.describe()).history_length > EARLY:
        await anew.signal("waiting", args=["1-20", None])
    progress = await until(anew, lambda progress: not progress.slices_running and not progress.slices_left)
    assert progress.settled_count < RECIPIENTS, "it was to hand over, and waits for its notice"
    await anew.signal("waiting", args=["1-20", None])
    await anew.query("progress")
    bench.relay.behave(Behaviour(faults=(FULL,)))
    bench.relay.release()
    await until(anew, lambda progress: progress.settled_count == RECIPIENTS)
    bench.relay.behave(Behaviour())
    result = await anew.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert result.sent == RECIPIENTS
    await replay(await anew.fetch_history())


async def handed_over(bench: Bench, wanted: Callable[[Carried], bool]) -> Carried:
    """What the batch's latest run was given, once it is what is wanted; its history is made to grow."""
    async with asyncio.timeout(60):
        while True:
            began = await anext(aiter(bench.client.get_workflow_handle(bench.batch).fetch_history_events()))
            given = json.loads(began.workflow_execution_started_event_attributes.input.payloads[0].data)
            if given.get("carried") and wanted(carried := unpack(given["carried"])):
                return carried
            await bench.client.get_workflow_handle(bench.batch).signal("waiting", args=["1-20", None])


async def due(notice: Untold) -> None:
    """Until its next try is."""
    when = notice.chains[0].due
    while when is not None and datetime.now(UTC) <= when:  # noqa: ASYNC110 - the clock is what is waited for
        await asyncio.sleep(0.05)


async def begin(
    bench: Bench, carried: Carried, options: dict[str, Any], start_signal: str | None = None
) -> Handle:
    """The batch in a run that takes this up."""
    request = await bench.request(RECIPIENTS, **(MANY_PARTS | options))
    return await bench.client.start_workflow(
        "BatchEmailWorkflow",
        request.model_copy(update={"carried": pack(carried)}),
        id=bench.batch,
        task_queue=bench.queue,
        result_type=BatchResult,
        start_signal=start_signal,
    )


def too_large(carried: Carried) -> Carried:
    """The same for a run that is its batch's last, and has a notice to tell."""
    now = carried.mailing_since
    notice = Notice(
        long_wait=LongWait(waiting=(Waiting(what="the relay", since=now),), as_of=now),
        list_name="emails.csv",
        admins=ADMINS,
        part=Part(
            batch="",
            snapshot=carried.begun.snapshot,
            message=carried.begun.opened.message,
            first=1,
            last=len(ADMINS),
            connections=1,
        ),
    )
    untold = Untold(notice=notice, what="it has waited long", chains=(Chain(first=1, last=len(ADMINS)),))
    much = {secrets.token_hex(30_000): Waiting(what="nothing", since=now) for _ in range(35)}
    found = carried.model_copy(update={"told": Told(notices=(untold,)), "waiting": much})
    assert MOST_CARRIED < len(pack(found)) < 1.1 * MOST_CARRIED
    return found

"""Relay trouble that lasts is told to the admins, once, and never holds the batch up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent

from batchmail.batch.carried import Begun, Carried, Told, Untold, pack
from batchmail.batch.chains import Chain
from batchmail.batch.ledger import ABSENT, DEFERRED, Ledger
from batchmail.batch.progress import Paused, PausedBy, Progress, Waiting
from batchmail.batch.result import BatchResult
from batchmail.batch.tasks import LongWait, Notice, Opened, Part
from tests.program.bench import DEATHS_NOTICED, KEPT_OR_NOT, Bench, Handle, WorkerProcess, waiting
from tests.program.test_batch_pauses import until
from tests.relays import Behaviour, Fault

SOON: dict[str, Any] = {"tell_after": timedelta(seconds=1), "admins": ("admin@example.org",)}
ADMINS = ("full@example.org", "admin@example.org")
FULL = Behaviour(faults=(Fault(stage="rcpt", reply="452 4.2.2 mailbox full", match="full@"),))
PAUSED = Paused(by=PausedBy.OPERATOR, why="an operator asked for it", since=datetime.now(UTC))
REFUSED = Behaviour(faults=(Fault(stage="mail", reply="550 5.1.8 sender unknown"),))


@pytest.mark.behaviour(REFUSED)
@KEPT_OR_NOT
async def test_a_relay_that_is_at_fault_for_long_is_told_once_as_soon_as_it_takes_mail(
    bench: Bench, tmp_path: Path
) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    worker = await bench.worker()
    handle = await bench.start(50, connections=2, slice_size=50, **SOON)
    await happened(handle, is_notice)
    (seen,) = (await progress(handle)).waiting
    hold = Fault(stage="dot", do="hold", match="reader-", skip=1)
    bench.relay.behave(Behaviour(messages=str(folder), faults=(hold,)))
    await bench.relay.wait_for(lambda event: event.event == "recorded" and "admin@" in event.address)
    bench.relay.release()
    result = await handle.result()
    bench.assert_the_promise(result)
    assert result.sent == 50
    mails = [
        message_from_bytes((folder / one.file).read_bytes(), policy=policy.default)
        for one in bench.relay.record()
        if one.recipient == "admin@example.org"
    ]
    wait, *end = sorted(mails, key=lambda mail: "waiting since" not in mail["Subject"])
    assert len(end) == 1
    assert "all 50 sent" in end[0]["Subject"]
    text = wait.get_content()
    assert f"since {seen.since:%Y-%m-%d %H:%M} UTC: {seen.what}" in text
    assert "the wait may be over when you read it" in text
    assert "the batch has waited since" in worker.log()


@pytest.mark.behaviour(REFUSED)
async def test_a_notice_that_has_not_left_does_not_hold_up_the_batchs_end(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(50, connections=2, slice_size=50, **SOON)
    await happened(handle, is_notice)
    later = Fault(stage="rcpt", reply="450 4.2.0 later", match="admin@", times=1)
    hold = Fault(stage="dot", do="hold", match="reader-", skip=1)
    bench.relay.behave(Behaviour(faults=(later, hold)))
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "admin@" in event.address, seconds=60)
    bench.relay.release()
    result = await handle.result()
    assert result.sent == 50
    assert bench.accepted()["admin@example.org"] == 1, "the end is told, and the wait is not any more"


@pytest.mark.behaviour(REFUSED)
async def test_a_wait_is_since_it_began_however_many_workers_take_it_over(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(20, connections=2, slice_size=20, heartbeat_timeout=DEATHS_NOTICED)
    before = (await waiting(handle)).waiting
    first.signal(signal.SIGKILL)
    await first.ended()
    slow = Fault(stage="ehlo", do="delay", seconds=3)
    bench.relay.behave(Behaviour(faults=(slow, *REFUSED.faults)))
    second = await bench.worker()
    await happened(handle, is_signal, times=2)
    assert (await progress(handle)).waiting == before, "told by another attempt"
    second.signal(signal.SIGTERM)
    assert await second.ended() == 0
    await bench.worker()
    assert (await progress(handle)).waiting == before, "handed back, and not begun anew yet"
    await happened(handle, is_signal, times=3)
    assert (await progress(handle)).waiting == before, "told by another part"
    bench.relay.behave(Behaviour())
    bench.assert_everyone_once(await handle.result())
    assert not (await progress(handle)).waiting


# One admin is put off, another is not


@pytest.mark.behaviour(FULL)
@KEPT_OR_NOT
async def test_an_admin_whose_mailbox_is_full_does_not_hold_up_the_batchs_end(bench: Bench) -> None:
    worker = await bench.worker()
    handle = await bench.start(20, admins=ADMINS, retry_delays=(timedelta(hours=1), timedelta(hours=4)))
    assert await next_try(handle) < timedelta(minutes=25)
    await handle.terminate()
    short = (timedelta(seconds=0.5), timedelta(seconds=0.5))
    again = await bench.start(20, f"{bench.batch}-again", admins=ADMINS, retry_delays=short)
    result = await again.result()
    assert (result.sent, result.admin_notified) == (20, True)
    assert bench.accepted()["admin@example.org"] == 2, "one mail of each batch"
    assert not bench.accepted()["full@example.org"]
    assert "1 of 2 admins were not told: it has ended" in worker.log()


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="rcpt", reply="452 4.2.2 full", match="example.org"),)))
async def test_the_end_is_told_to_somebody_however_long_that_takes(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(20, admins=ADMINS, retry_delays=(timedelta(hours=1),))
    assert await next_try(handle) > timedelta(minutes=55)
    await handle.terminate()
    delays = (timedelta(seconds=0.5),) * 100
    again = await bench.start(20, f"{bench.batch}-again", admins=ADMINS, retry_delays=delays)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "admin@" in event.address, times=3)
    bench.relay.behave(FULL)
    assert (await again.result()).admin_notified
    assert bench.accepted()["admin@example.org"] == 1


@pytest.mark.behaviour(REFUSED)
@pytest.mark.parametrize("known", [True, False])
@KEPT_OR_NOT
async def test_another_wait_is_told_though_the_mail_of_the_last_has_not_reached_every_admin(
    bench: Bench, known: bool
) -> None:
    worker = await bench.worker()
    handle = await goes_on(bench, put_off(known, timedelta(hours=1)), known=known)
    await logged(worker, "the batch has waited since")
    full = Fault(stage="rcpt", reply="452 4.2.2 mailbox full", match="full@", times=1)
    hold = Fault(stage="dot", do="hold", match="reader-", skip=1)
    bench.relay.behave(Behaviour(faults=(full, hold) if known else ()))
    if known:
        await bench.relay.wait_for(lambda event: event.event == "recorded" and "admin@" in event.address)
    bench.relay.release()
    result = await handle.result()
    assert (result.sent, result.admin_notified) == (20, True)
    assert await notices(handle) == 1 + known, "one that nobody has yet says it well enough"
    assert bench.accepted()["admin@example.org"] == 1 + known
    assert bench.accepted()["full@example.org"] == 1, "only the last that is true is kept for him"


async def test_it_is_told_too_where_one_admin_got_the_last_mail_in_this_run(bench: Bench) -> None:
    await bench.worker()
    handle = await one_of_two_knows_of_the_last_wait(bench)
    await happened(handle, is_notice, times=2)
    bench.relay.behave(Behaviour())
    result = await handle.result()
    assert (result.sent, result.admin_notified) == (20, True)
    assert await notices(handle) == 3, "the last wait, this one, the end"


@pytest.mark.behaviour(REFUSED)
async def test_a_mail_that_waits_is_nothing_that_the_batch_waits_for(bench: Bench) -> None:
    await bench.worker()
    handle = await goes_on(bench, put_off(True, timedelta(0)), known=True, paused=PAUSED)
    assert (await waiting(handle)).waiting
    assert await notices(handle) == 1
    assert not [event async for event in handle.fetch_history_events() if is_timer(event)]
    bench.relay.behave(Behaviour())
    await handle.cancel()
    assert (await handle.result()).admin_notified


# How it is seen


def put_off(known: bool, due: timedelta) -> Chain:
    """Where the mail stands that the first admin, or each, is to be tried with again."""
    ledger = Ledger(1, bytes([DEFERRED, ABSENT if known else DEFERRED])).record()
    when = datetime.now(UTC)
    return Chain(first=1, last=2, ledger=ledger, tries=1, since=when, deferred=1, due=when + due)


async def goes_on(
    bench: Bench,
    mail: Chain,
    known: bool = False,
    paused: Paused | None = None,
    batch: str | None = None,
    **options: Any,
) -> Handle:
    """A batch in a later run: for two hours its admins have been told of a wait.

    `mail`: how that stands. `known`: one of the admins has it.
    """
    batch = batch or bench.batch
    options = SOON | {"admins": ADMINS, "connections": 2, "slice_size": 20} | options
    request = await bench.request(20, **options)
    first: Handle = await bench.client.start_workflow(
        "BatchEmailWorkflow", request, id=batch, task_queue=bench.queue, start_signal="pause"
    )
    await until(first, lambda progress: progress.total > 0)
    await first.terminate()
    assert request.snapshot is not None
    assert request.message is not None
    before = datetime.now(UTC) - timedelta(hours=2)
    opened = Opened(message=request.message, list_name="emails-20.csv", total=20, slice_size=20)
    part = Part(
        batch=batch, snapshot=request.snapshot, message=request.message, first=1, last=2, connections=1
    )
    wait = LongWait(waiting=(Waiting(what="another trouble", since=before),), as_of=before)
    notice = Notice(long_wait=wait, list_name=opened.list_name, admins=ADMINS, part=part)
    untold = Untold(notice=notice, what="it has waited long", chains=(mail,))
    carried = Carried(
        begun=Begun(snapshot=request.snapshot, facts=None, opened=opened, started=before),
        mailing_since=before,
        cancelled=False,
        chains=(Chain(first=1, last=20),),
        files=(),
        settled={},
        resent=0,
        paused=paused,
        told=Told(notices=(untold.model_copy(update={"known": True}) if known else untold,), last=before),
    )
    return await bench.client.start_workflow(
        "BatchEmailWorkflow",
        request.model_copy(update={"carried": pack(carried)}),
        id=batch,
        task_queue=bench.queue,
        result_type=BatchResult,
    )


async def one_of_two_knows_of_the_last_wait(bench: Bench, batch: str | None = None, **options: Any) -> Handle:
    """A batch that waits, as `goes_on`: the other admin's mailbox is full."""
    denied = Fault(stage="rcpt", reply="554 5.7.1 relay access denied", match="reader-")
    bench.relay.behave(Behaviour(faults=(denied, *FULL.faults)))
    handle = await goes_on(bench, Chain(first=1, last=2), paused=PAUSED, batch=batch, **options)
    await happened(handle, is_timer)
    await handle.signal("resume")
    return handle


async def logged(worker: WorkerProcess, text: str) -> None:
    """Until the worker's log has it."""
    async with asyncio.timeout(60):
        while text not in worker.log():  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.05)


async def notices(handle: Handle) -> int:
    """How many different mails to the admins the batch has begun."""
    about = [
        event.activity_task_scheduled_event_attributes.input.payloads[0].data
        async for event in handle.fetch_history_events()
        if is_notice(event)
    ]
    return len({Notice.model_validate_json(one).name for one in about})


async def next_try(handle: Handle) -> timedelta:
    """How long it waits before it tries to tell the admins of its end again."""
    timer = (await happened(handle, is_timer)).timer_started_event_attributes
    return timer.start_to_fire_timeout.ToTimedelta()


async def progress(handle: Handle) -> Progress:
    found: Progress = await handle.query("progress", result_type=Progress)
    return found


def is_notice(event: HistoryEvent) -> bool:
    return event.activity_task_scheduled_event_attributes.activity_type.name == "notify_admin"


def is_timer(event: HistoryEvent) -> bool:
    return event.HasField("timer_started_event_attributes")


def is_timer_fired(event: HistoryEvent) -> bool:
    return event.HasField("timer_fired_event_attributes")


def is_signal(event: HistoryEvent) -> bool:
    return event.workflow_execution_signaled_event_attributes.signal_name == "waiting"


async def happened(handle: Handle, seen: Callable[[HistoryEvent], bool], times: int = 1) -> HistoryEvent:
    """Until the batch's history has so many of these events; the last of them."""
    async with asyncio.timeout(60):
        async for event in handle.fetch_history_events(wait_new_event=True):
            times -= seen(event)
            if not times:
                return event
    raise AssertionError("the batch has ended")

"""The straight path: a batch of any size is mailed once, reported, and the admins are told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError

from batchmail.batch.progress import Doing, Progress
from batchmail.batch.result import BatchResult, Status
from batchmail.message.source import read_message, save_message
from tests.program.bench import DEATHS_NOTICED, KEPT_OR_NOT, Bench, address
from tests.relays import Behaviour, Fault


@pytest.mark.parametrize("recipients", [1, 10, 5_000])
async def test_everybody_is_mailed_once(bench: Bench, recipients: int) -> None:
    await bench.worker()
    handle = await bench.start(recipients)
    result = await handle.result()
    assert result.status is Status.COMPLETED
    assert result.total == result.sent == recipients
    assert result.everyone_sent
    assert not result.admin_notified
    rows = bench.assert_the_promise(result)
    assert [row.address for row in rows] == [address(n) for n in range(1, recipients + 1)]
    assert {row.in_doubt for row in rows} == {"no"}
    assert sum(bench.accepted().values()) == recipients
    progress = await handle.query("progress", result_type=Progress)
    assert progress.doing is Doing.DONE
    assert progress.settled_count == recipients


async def test_a_message_that_is_long_in_compiling_holds_nobody_up(bench: Bench) -> None:
    """As large as Markdown may be, it takes longer than the heartbeat time-out."""
    text = bench.folder / "large.md"
    body = ("*a _b_ [c](d) \n\n" * 62_000)[:990_000]
    text.write_text(f"---\nsubject: s\nfrom: news@sender.example\n---\n{body}")
    message = read_message(text)
    await save_message(bench.store, message)
    request = await bench.request(1, heartbeat_timeout=DEATHS_NOTICED)
    request = request.model_copy(update={"message": message.id})
    await bench.worker()
    handle = await bench.client.start_workflow(
        "BatchEmailWorkflow", request, id=bench.batch, task_queue=bench.queue, result_type=BatchResult
    )
    async with asyncio.timeout(200):  # it is all computing
        bench.assert_everyone_once(await handle.result())
    begun = [
        event.activity_task_started_event_attributes.attempt
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
    ]
    assert set(begun) == {1}


async def test_heartbeats_keep_the_distance_that_was_asked_for(bench: Bench) -> None:
    bench.environment["BATCH_HEARTBEAT_INTERVAL"] = "0.3s"
    await bench.worker()
    result = await (await bench.start(6, connections=1, slice_size=6)).result()
    bench.assert_everyone_once(result)
    # One that names nobody, then one a recipient, since there is one connection.
    assert result.seconds >= 6 * 0.3


@pytest.mark.behaviour(Behaviour(pipelining=False, eight_bit=False, utf8=False, size=None))
async def test_a_relay_without_extensions_is_enough(bench: Bench) -> None:
    await bench.worker()
    result = await (await bench.start(100)).result()
    assert result.sent == 100
    bench.assert_the_promise(result)


@KEPT_OR_NOT
async def test_the_admins_are_told_once_with_the_counts(bench: Bench, tmp_path: Path) -> None:
    mails = tmp_path / "mails"
    mails.mkdir()
    bench.relay.behave(
        Behaviour(
            messages=str(mails),
            faults=(Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-3@"),),
        )
    )
    await bench.worker()
    admins = ("first@example.org", "second@example.org")
    result = await (await bench.start(10, admins=admins)).result()
    assert (result.sent, result.rejected, result.admin_notified) == (9, 1, True)
    told = [entry for entry in bench.relay.record() if entry.recipient in admins]
    assert sorted(entry.recipient for entry in told) == sorted(admins)
    mail = message_from_bytes((mails / told[0].file).read_bytes())
    text = mail.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert b"9 of 10 sent" in str(mail["Subject"]).encode()
    assert b"4" in text
    assert b"5.1.1" in text
    assert result.report.encode() in text


async def test_connections_never_exceed_the_budget(bench: Bench) -> None:
    await bench.worker()
    result = await (await bench.start(3_000, connections=7, slice_size=200)).result()
    assert result.sent == 3_000
    assert bench.most_connections() <= 7
    opened = sum(event.event == "connected" for event in bench.relay.events())
    assert opened < 30, "open connections are kept from slice to slice"


async def test_two_workers_share_the_budget_of_a_batch(bench: Bench) -> None:
    for _ in range(2):
        await bench.worker(BATCH_SLICES="1")  # the next slice, which is given out early, is the other's
    handle = await bench.start(3_000, connections=7, slice_size=200)
    bench.assert_everyone_once(await handle.result())
    assert bench.most_connections() <= 7
    events = [event async for event in handle.fetch_history_events()]
    started = [event.activity_task_started_event_attributes for event in events]
    assert len({one.identity for one in started if one.identity}) == 2, "both had a part in it"


async def test_an_empty_snapshot_completes_and_notifies(bench: Bench) -> None:
    await bench.worker()
    request = await bench.request(3)
    assert request.snapshot is not None
    manifest = bench.store.root / "snapshots" / request.snapshot / "manifest.json"
    manifest.write_text(
        manifest.read_text().replace('"total":3', '"total":0').replace('"total": 3', '"total": 0')
    )
    options = request.options.model_copy(update={"admins": ("admin@example.org",)})
    handle = await bench.client.start_workflow(
        "BatchEmailWorkflow",
        request.model_copy(update={"options": options}),
        id=bench.batch,
        task_queue=bench.queue,
    )
    result = await handle.result()
    assert result["total"] == result["sent"] == 0
    assert result["admin_notified"] is True


async def test_a_batch_with_a_receipt_is_answered_from_it(bench: Bench) -> None:
    await bench.worker()
    first = await (await bench.start(10)).result()
    again = await (await bench.start(10)).result()
    assert again == first
    assert sum(bench.accepted().values()) == 10


async def test_a_list_and_message_by_location(bench: Bench) -> None:
    await bench.worker()
    await bench.request(10)
    handle = await bench.client.start_workflow(
        "BatchEmailWorkflow",
        {
            "list": str(bench.folder / "emails-10.csv"),
            "message_location": str(bench.folder / "message.txt"),
        },
        id=bench.batch,
        task_queue=bench.queue,
    )
    result = await handle.result()
    assert result["sent"] == 10


async def test_a_slice_much_longer_than_its_heartbeat_timeout_takes_one_attempt(bench: Bench) -> None:
    timeout = timedelta(seconds=6)
    slow = Fault(stage="dot", do="delay", seconds=2)
    silent = Fault(stage="dot", do="delay", match="reader-5@", seconds=8)
    bench.relay.behave(Behaviour(faults=(silent, slow)))
    await bench.worker()
    handle = await bench.start(10, heartbeat_timeout=timeout, connections=1, slice_size=10)
    result = await handle.result()
    assert result.seconds > 4 * timeout.total_seconds()
    assert result.sent == 10
    attempts = [
        event.activity_task_started_event_attributes.attempt
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_started_event_attributes")
    ]
    assert set(attempts) == {1}
    bench.assert_the_promise(result)


async def test_an_admin_who_cannot_be_mailed_is_refused_before_anybody_is(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(10, admins=("admin@example.org", "a@"))
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    said = str(failure.value.cause)
    assert "options.admins: the address number 2 cannot be used" in said
    assert "a@" not in said.replace("admin@", "")
    assert not bench.accepted()


async def test_an_admin_who_is_named_twice_is_told_once(bench: Bench) -> None:
    await bench.worker()
    result = await (await bench.start(3, admins=("admin@example.org", "admin@example.org"))).result()
    assert result.admin_notified
    assert bench.accepted()["admin@example.org"] == 1

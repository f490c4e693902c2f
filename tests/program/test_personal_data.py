"""Who is mailed, and what, stands in no log and in no history, whatever goes wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from batchmail.batch.options import BatchRequest, InDoubt
from batchmail.batch.result import BatchResult
from batchmail.message.source import read_message, save_message
from tests.program.bench import DEATHS_NOTICED, Bench, Handle, waiting
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import StartRelay

PERSONAL = re.compile(rb"reader-\d+@|Reader \d+|Dear |the news\.", re.IGNORECASE)
"""The addresses, fields and message text of the bench's lists."""

KEPT_SHORT = timedelta(seconds=0.2)


def refused(number: int, stage: str, reply: str, times: int | None = None) -> Fault:
    """The relay's answer to one recipient; its words name the recipient, as many a relay's do."""
    said = f"{reply} <reader-{number}@example.com>: sorry, Reader {number}"
    return Fault(stage=stage, reply=said, match=f"reader-{number}@", times=times)  # type: ignore[arg-type]


EVERYTHING_GOES_WRONG = Behaviour(
    faults=(
        Fault(stage="greeting", reply="421 4.3.2 reader-1@example.com is not welcome", times=2),
        refused(3, "rcpt", "550 5.1.1"),
        refused(4, "rcpt", "450 4.2.1"),
        refused(5, "dot", "554 5.7.1"),
        refused(6, "data", "451 4.3.0", times=1),
        refused(7, "rcpt", "421 4.7.0", times=1),
        Fault(stage="body", do="drop", match="reader-8@", times=1),
        Fault(stage="recorded", do="drop", match="reader-9@", times=1),
        refused(10, "recorded", "no SMTP", times=1),
    )
)


async def history(handle: Handle) -> bytes:
    """All that the server has of the batch."""
    events = [event.SerializeToString() async for event in handle.fetch_history_events()]
    return b"\n".join([*events, (await handle.describe()).raw_description.SerializeToString()])


def found_in(text: bytes) -> list[bytes]:
    """What is personal in it, and what stands around it."""
    return [text[max(0, found.start() - 80) : found.end() + 20] for found in PERSONAL.finditer(text)]


@pytest.mark.behaviour(EVERYTHING_GOES_WRONG)
@pytest.mark.parametrize(("log_format", "in_doubt"), [("text", InDoubt.RESEND), ("json", InDoubt.HOLD)])
async def test_no_log_and_no_history_names_a_recipient(
    bench: Bench, log_format: str, in_doubt: InDoubt
) -> None:
    dying = await bench.worker(arm="body_sent:5=kill", arguments=f"--log-format {log_format}")
    handle = await bench.start(
        30,
        connections=3,
        slice_size=15,
        retry_delays=(KEPT_SHORT, KEPT_SHORT),
        heartbeat_timeout=DEATHS_NOTICED,
        in_doubt=in_doubt,
    )
    await dying.ended()
    worker = await bench.worker(arguments=f"--log-format {log_format}")
    result = await handle.result()
    # Number 3, and number 5 unless it is held: its body may have been out when the worker died.
    assert result.rejected >= (1 if in_doubt is InDoubt.HOLD else 2)
    assert result.expired + result.unknown >= 1
    bench.assert_the_promise(result)
    assert found_in(await history(handle)) == []
    assert found_in((dying.log() + worker.log()).encode()) == []


async def test_a_mail_that_cannot_be_filled_is_told_without_what_was_to_fill_it(bench: Bench) -> None:
    worker = await bench.worker()
    file = bench.folder / "by-name.txt"
    file.write_text(
        "---\nsubject: Hello\nfrom: News <news@sender.example>\n---\n"
        "Dear {{ {'Reader 1': 'first'}[first_name] }},\nthe news.\n"
    )
    message = read_message(file)
    await save_message(bench.store, message)
    request = (await bench.request(3)).model_copy(update={"message": message.id})
    handle = await started(bench, request)
    result = await handle.result()
    assert (result.sent, result.rejected) == (1, 2)
    assert found_in(await history(handle)) == []
    assert found_in(worker.log().encode()) == []


async def started(bench: Bench, request: BatchRequest) -> Handle:
    """The batch of this request."""
    return await bench.client.start_workflow(
        "BatchEmailWorkflow", request, id=bench.batch, task_queue=bench.queue, result_type=BatchResult
    )


async def test_a_damaged_store_is_told_without_what_stands_in_it(bench: Bench) -> None:
    request = await bench.request(3)
    folder = Path(bench.store.path(f"snapshots/{request.snapshot}"))
    (block,) = (folder / "recipients").iterdir()
    whole = block.read_bytes()
    block.write_bytes(b'{"address": "reader-1@example.com", "Reader 1": ["Dear"')
    worker = await bench.worker()
    handle = await started(bench, request)
    await waiting(handle)
    assert found_in(await history(handle)) == []
    assert found_in(worker.log().encode()) == []
    block.write_bytes(whole)
    bench.assert_everyone_once(await handle.result())


async def test_the_starter_says_how_many_and_the_report_who(tmp_path: Path, start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(refused(1, "rcpt", "550 5.1.1"), refused(2, "rcpt", "450 4.2.1"))))
    desk = Desk(tmp_path, {"BATCH_RETRY_DELAYS": "none"})
    desk.relay(relay)
    desk.write_list(3)
    try:
        ended = desk.call("--dev", "--yes", "--json", code=1)
    finally:
        desk.stop()
    log = (desk.state / "worker.log").read_bytes()
    assert found_in(log + (desk.state / "temporal.log").read_bytes()) == []
    assert found_in((ended.out + ended.err).encode()) == []
    assert b"reader-1@example.com" in Path(ended.object["report"]).read_bytes()

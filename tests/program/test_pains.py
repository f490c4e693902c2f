"""What users of other tools were hurt by (docs/guarantees.md), where no other test shows it."""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from batchmail.batch.result import BatchResult
from batchmail.message.source import read_message, save_message
from tests.program.bench import DEATHS_NOTICED, Bench, Handle, address, waiting
from tests.program.deaf import Deaf
from tests.program.test_batch_pauses import rests, until
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

RECIPIENTS = 300
IN_SLICES: dict[str, Any] = {"connections": 5, "slice_size": 50}
RATE = Behaviour(rate=60, rate_at="rcpt", over_rate="450 4.7.1 Error: too much mail from 127.0.0.1")

HELD_AFTER_A_THIRD = replace(RATE, faults=(Fault(stage="dot", do="hold", skip=100),))


@pytest.mark.behaviour(HELD_AFTER_A_THIRD)
async def test_a_batch_paused_restarted_and_resumed_under_another_limit_mails_everyone_once(
    bench: Bench,
) -> None:
    first = await bench.worker()
    handle = await bench.start(RECIPIENTS, **IN_SLICES)
    await bench.relay.wait_for(recorded, times=100)
    await handle.signal("pause")
    await until(handle, lambda progress: progress.paused is not None)
    bench.relay.behave(RATE)
    await until(handle, rests)
    first.signal(signal.SIGTERM)
    assert await first.ended() == 0
    assert 100 <= len(bench.relay.record()) < RECIPIENTS, "the pause met the batch on its way"
    bench.relay.behave(Behaviour(rate=200, rate_at="rcpt", over_rate=RATE.over_rate))
    await bench.worker(BATCH_CONNECTIONS="7")
    await handle.signal("resume")
    bench.assert_everyone_once(await handle.result())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.behaviour(RATE)
async def test_a_worker_that_ends_while_it_waits_for_the_relays_rate_loses_nobody(
    bench: Bench, how: signal.Signals
) -> None:
    first = await bench.worker()
    handle = await bench.start(RECIPIENTS, heartbeat_timeout=DEATHS_NOTICED, **IN_SLICES)
    await bench.relay.wait_for(recorded, times=100)
    first.signal(how)
    await first.ended()
    assert 100 <= len(bench.relay.record()) < RECIPIENTS, "the end met the batch on its way"
    await bench.worker()
    result = await handle.result()
    rows = bench.assert_the_promise(result)
    assert result.sent == RECIPIENTS
    doubtful = sum(row.in_doubt == "yes" for row in rows)
    assert doubtful <= (0 if how is signal.SIGTERM else IN_SLICES["connections"])


@pytest.mark.behaviour(
    Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 unknown", match=r"reader-1\d\d@"),))
)
async def test_refused_recipients_in_a_row_that_fill_slices_end_the_batch_for_nobody_behind_them(
    bench: Bench,
) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, max_rejected_percent=100, **IN_SLICES)
    result = await handle.result()
    rows = bench.assert_the_promise(result)
    assert [row.outcome for row in rows] == ["sent"] * 99 + ["rejected"] * 100 + ["sent"] * 101


async def test_batches_that_begin_together_at_one_worker_are_all_carried_to_their_ends(bench: Bench) -> None:
    handles = [await bench.start(30, f"{bench.batch}-{number}", connections=3) for number in range(11)]
    await bench.worker()
    results = [await handle.result() for handle in handles]
    assert [result.sent for result in results] == [30] * 11
    assert bench.accepted() == Counter({address(number): 11 for number in range(1, 31)})


@pytest.mark.behaviour(
    Behaviour(faults=(Fault(stage="rcpt", do="hold", match=r"reader-(1(?!00)\d\d|200)@"),))
)
async def test_who_ends_a_slice_after_it_was_given_to_another_changes_nothing(bench: Bench) -> None:
    """The first worker has mailed its slice, and is frozen before it can say so; the second says it, and the
    batch has gone on when the first is thawed."""
    obstacle = bench.store.root / "batches" / bench.batch / "outcomes"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder must be")
    async with Deaf(bench) as proxy:
        first = await bench.worker(TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(
            200, in_doubt="hold", connections=5, slice_size=100, heartbeat_timeout=DEATHS_NOTICED
        )
        assert str(bench.store) in (await waiting(handle)).waiting[0].what
        assert {address(number) for number in range(1, 101)} == set(bench.accepted())
        first.signal(signal.SIGSTOP)
        proxy.cut()  # else the server gives it tasks for as long as its polls are open: a minute
        obstacle.unlink()
        await bench.worker()
        await until(handle, lambda progress: sum(progress.settled.values()) == 100)
        first.signal(signal.SIGCONT)
        await first.says("an attempt was superseded")
        first.signal(signal.SIGTERM)
        assert await first.ended() == 0
    bench.relay.behave(Behaviour())
    bench.relay.release()
    result = await handle.result()
    rows = bench.assert_the_promise(result)
    assert {(row.outcome, row.in_doubt) for row in rows[:100]} == {("sent", "no")}
    assert result.sent + result.unknown == 200
    assert max(bench.accepted().values()) == 1


async def test_each_mail_has_its_own_way_to_unsubscribe_by_one_click(bench: Bench, tmp_path: Path) -> None:
    """The two headers of RFC 8058; the relay, which signs, is given them whole."""
    folder = tmp_path / "mails"
    folder.mkdir()
    bench.relay.behave(Behaviour(messages=str(folder)))
    text = tmp_path / "one-click.md"
    text.write_text(
        "---\nsubject: News\nfrom: News <news@sender.example>\nheaders:\n"
        '  List-Unsubscribe: "<https://sender.example/unsubscribe/{{ first_name|urlencode }}'
        '?list=spring&address={{ email|urlencode }}>, <mailto:leave@sender.example>"\n'
        "  List-Unsubscribe-Post: List-Unsubscribe=One-Click\n---\nThe news.\n"
    )
    message = read_message(text)
    await save_message(bench.store, message)
    request = (await bench.request(20)).model_copy(update={"message": message.id})
    await bench.worker()
    handle: Handle = await bench.client.start_workflow(
        "BatchEmailWorkflow", request, id=bench.batch, task_queue=bench.queue, result_type=BatchResult
    )
    bench.assert_everyone_once(await handle.result())
    for entry in bench.relay.record():
        mail = message_from_bytes((folder / entry.file).read_bytes(), policy=policy.SMTP)
        number = entry.recipient.removeprefix("reader-").removesuffix("@example.com")
        assert mail["List-Unsubscribe"].split(", ") == [
            f"<https://sender.example/unsubscribe/Reader%20{number}"
            f"?list=spring&address=reader-{number}%40example.com>",
            "<mailto:leave@sender.example>",
        ]
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"

"""A stop before damage: too many are rejected, the batch pauses itself, asks the admins and waits."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from batchmail.batch.brake import LEAST_SETTLED
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import PausedBy
from batchmail.batch.result import Status
from tests.program.bench import KEPT_OR_NOT, Bench, waiting
from tests.program.test_batch_pauses import rests, until
from tests.relays import Behaviour, Fault

HALF = Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-[0-9]*[02468]@"),))
ALL = Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-"),))
ADMINS: dict[str, Any] = {"admins": ("admin@example.org",)}


@pytest.mark.behaviour(HALF)
@KEPT_OR_NOT
async def test_a_list_of_which_half_is_rejected_pauses_in_the_midst_of_its_slice_and_asks(
    bench: Bench,
) -> None:
    await bench.worker()
    handle = await bench.start(2_000, connections=10, slice_size=2_000, **ADMINS)
    progress = await until(handle, rests)
    assert progress.paused is not None
    assert progress.paused.by is PausedBy.REJECTIONS
    assert LEAST_SETTLED <= progress.settled_count <= LEAST_SETTLED + 10, "one mail a connection later"
    assert progress.paused.why.startswith(
        f"{progress.settled[Outcome.REJECTED]} of {progress.settled_count} recipients were rejected ("
    )
    await bench.relay.wait_for(lambda event: event.event == "recorded" and "admin@" in event.address)
    await handle.signal("resume")
    result = await handle.result()
    assert (result.sent, result.rejected) == (1_000, 1_000), "it did not pause again"
    bench.assert_the_promise(result)
    assert bench.accepted()["admin@example.org"] == 2, "asked once, told the end once"


@pytest.mark.behaviour(HALF)
async def test_who_cancels_a_batch_that_asks_is_told_who_was_not_mailed(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(1_000, connections=10, slice_size=1_000)
    progress = await until(handle, rests)
    await handle.cancel()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    assert result.suppressed == 1_000 - progress.settled_count
    bench.assert_the_promise(result)


async def test_the_question_names_numbers_reasons_and_commands(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    bench.relay.behave(replace(HALF, messages=str(folder)))
    await bench.worker()
    handle = await bench.start(500, connections=5, slice_size=500, **ADMINS)
    progress = await until(handle, rests)
    await bench.relay.wait_for(lambda event: event.event == "recorded" and "admin@" in event.address)
    (asked,) = [one for one in bench.relay.record() if one.recipient == "admin@example.org"]
    mail = message_from_bytes((folder / asked.file).read_bytes(), policy=policy.default)
    text = mail.get_content()
    assert progress.paused is not None
    assert progress.paused.why in text
    assert f"python starter.py resume {bench.batch}" in text
    assert f"python starter.py cancel {bench.batch}" in text
    rejected = progress.settled[Outcome.REJECTED]
    assert f"{rejected:>9}  the mailbox does not exist (550 5.1.1" in text
    assert "reader-" not in text
    await handle.cancel()
    await handle.result()


@pytest.mark.behaviour(ALL)
async def test_a_list_of_fewer_than_a_hundred_never_pauses(bench: Bench) -> None:
    await bench.worker()
    result = await (await bench.start(99, connections=5)).result()
    assert result.rejected == 99


@pytest.mark.behaviour(ALL)
@pytest.mark.parametrize("options", [{"max_rejected_percent": 100}, {"slice_size": 100, "connections": 1}])
async def test_where_nobody_is_left_or_no_share_is_too_much_it_does_not_pause(
    bench: Bench, options: dict[str, Any]
) -> None:
    recipients = 100 if "slice_size" in options else 300
    await bench.worker()
    result = await (await bench.start(recipients, **options)).result()
    assert result.rejected == recipients


@pytest.mark.behaviour(HALF)
async def test_small_slices_pause_the_batch_when_enough_of_them_have_ended(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(200, connections=1)
    progress = await until(handle, rests)
    assert (progress.settled_count, progress.slices_left) == (LEAST_SETTLED, 5)
    await handle.signal("resume")
    assert (await handle.result()).rejected == 100


@pytest.mark.behaviour(HALF)
async def test_the_next_slice_does_not_go_on_with_the_connections_of_one_that_has_seen_too_many(
    bench: Bench,
) -> None:
    await bench.worker()
    handle = await bench.start(4_000, connections=10, slice_size=1_000)
    progress = await until(handle, rests)
    assert progress.settled_count <= LEAST_SETTLED + 10
    await handle.cancel()
    bench.assert_the_promise(await handle.result())


@pytest.mark.behaviour(HALF)
async def test_slices_side_by_side_stop_each_by_what_it_knows(bench: Bench) -> None:
    """Two slices at once need more connections than one slice has: 251. Each alone has to see too many."""
    await bench.worker()
    handle = await bench.start(8_000, connections=252, slice_size=2_000)
    progress = await until(handle, rests)
    assert progress.settled_count <= 2 * (LEAST_SETTLED + 126)
    await handle.cancel()
    bench.assert_the_promise(await handle.result())


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="rcpt", reply="554 5.7.1 relay access denied"),)))
async def test_a_relay_that_refuses_everybody_is_waited_for_and_not_asked_about(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(300, connections=5, slice_size=300)
    waits = await waiting(handle)
    assert waits.paused is None
    bench.relay.behave(Behaviour())
    result = await handle.result()
    assert (result.sent, result.rejected) == (300, 0)

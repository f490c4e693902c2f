"""starter.py pause, resume, cancel and status, as operators run them beside a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.program.bench import Bench
from tests.program.starter_process import Desk, Ended
from tests.program.test_batch_pauses import rests, until
from tests.program.test_batch_rejections import HALF
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

HELD = Behaviour(faults=(Fault(stage="dot", do="hold", skip=20),))
SLOW = Behaviour(faults=(Fault(stage="dot", do="delay", seconds=0.2),))
IN_SLICES: dict[str, Any] = {"connections": 5, "slice_size": 100}


@pytest.fixture
def order(desk: Desk) -> Any:
    """Give an order as an operator does; it must end with this exit code."""

    def give(*arguments: str, code: int = 0) -> Ended:
        return desk.order(*arguments).ended(code)

    return give


def let_go(bench: Bench) -> None:
    """The relay answers again, slowly enough that orders are heard before everybody is mailed."""
    bench.relay.behave(SLOW)
    bench.relay.release()


@pytest.mark.behaviour(HELD)
async def test_an_operator_pauses_looks_and_resumes(bench: Bench, order: Any) -> None:
    await bench.worker()
    handle = await bench.start(400, **IN_SLICES)
    name = bench.batch
    await bench.relay.wait_for(recorded, times=20)
    assert f"to go on: python starter.py resume {name}" in order("pause", name).out
    let_go(bench)
    progress = await until(handle, rests)
    assert f"Batch {name} is paused already" in order("pause", name).out
    looked = order("status", name).out
    assert f"{progress.settled_count} of 400" in looked
    assert "Paused since" in looked
    assert f"To go on: python starter.py resume {name}; to end it: python starter.py cancel {name}" in looked
    bench.relay.behave(Behaviour())
    assert f"Batch {name} goes on." in order("resume", name).out
    bench.assert_everyone_once(await handle.result())
    assert "has ended: there is nothing to pause" in order("pause", name, code=2).err
    assert "All 400 recipients were mailed" in order("status", name).out


@pytest.mark.behaviour(HELD)
async def test_an_operator_cancels(bench: Bench, order: Any) -> None:
    await bench.worker()
    handle = await bench.start(400, **IN_SLICES)
    await bench.relay.wait_for(recorded, times=20)
    assert f"Batch {bench.batch} is not paused." in order("resume", bench.batch).out
    assert "nobody new is mailed" in order("cancel", bench.batch).out
    let_go(bench)
    assert (await handle.result()).suppressed > 0


async def test_orders_wait_for_a_worker_and_a_look_says_that_there_is_none(bench: Bench, order: Any) -> None:
    handle = await bench.start(10)
    assert "No worker answers" in order("status", bench.batch, code=3).err
    assert "pauses as soon as a worker answers" in order("pause", bench.batch).out
    await bench.worker()
    await until(handle, lambda progress: progress.paused is not None)
    await handle.signal("resume")
    assert (await handle.result()).sent == 10


@pytest.mark.parametrize("word", ["pause", "resume", "cancel", "status"])
def test_a_batch_that_is_not_there_is_said_in_one_sentence(order: Any, word: str) -> None:
    refused = order(word, "nobody-knows-it", code=2)
    assert refused.out == ""
    assert refused.err.startswith("error: No batch nobody-knows-it runs or has ended")
    assert refused.err.count("\n") == 1


@pytest.mark.behaviour(HALF)
async def test_the_starter_that_waits_shows_the_question_and_its_answers(desk: Desk, bench: Bench) -> None:
    await bench.worker()
    desk.write_list(300)
    waits = desk.start("--yes", "--batch-id", "half", "--max-rejected", "10%", BATCH_CONNECTIONS="5")
    waits.wait_for("To go on: python starter.py resume half; to end it: python starter.py cancel half")
    bench.relay.behave(replace(HALF, faults=(*HALF.faults, Fault(stage="dot", do="hold"))))
    desk.order("resume", "half").ended(0)
    waits.wait_for("It goes on.")
    bench.relay.release()
    ended = waits.ended(1)
    assert "recipients were rejected (" in ended.err
    assert ", limit 10 %)" in ended.err
    assert "150 of 300 recipients mailed" in ended.out

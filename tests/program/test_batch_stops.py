"""SIGTERM at hard moments: the worker leaves within its grace, and nobody is lost or in doubt by it."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest

from tests.program.bench import KEPT_OR_NOT, Bench, Handle, waiting
from tests.relays import Behaviour, Fault

GRACE = "2s"
LEAVES_WITHIN = 14.0
"""Seconds: the grace, and time for a busy machine; with the usual grace it takes fifteen."""

RECIPIENTS = 200
CONNECTIONS = 5
ONE_SLICE: dict[str, Any] = {"connections": CONNECTIONS, "slice_size": RECIPIENTS}

FIVE_SLICES: dict[str, Any] = {"connections": 15, "slice_size": 40}
"""All five at once, with three connections each."""

STAGES = ("(1|5|9|13|17)[123]@", "(2|6|10|14|18)[123]@", "(3|7|11|15|19)[123]@")
"""In each: three recipients of each of the five slices, in its midst, one for each of its connections."""


def held_at(*stages: str) -> Behaviour:
    """The relay holds these mails before it records them. Once let go it answers slowly: later than a worker
    hears of its stop."""
    held = tuple(Fault(stage="dot", do="hold", match=f"-{stage}") for stage in stages)
    slow = Fault(stage="recorded", do="delay", match=f"-({'|'.join(STAGES)})", seconds=1.0)
    return Behaviour(faults=(*held, slow))


HELD_AT_60 = Behaviour(faults=(Fault(stage="dot", do="hold", skip=60, times=None),))
"""The relay answers sixty bodies, and the others when it is told to."""


@pytest.mark.parametrize("moment", ["begun", "heartbeat_answered", "marked"])
async def test_a_stop_that_meets_a_slice_at_its_very_beginning_hands_it_back(
    bench: Bench, moment: str
) -> None:
    alone = await bench.worker(arm=f"{moment}:1=stop", BATCH_GRACE=GRACE)
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await alone.frozen()
    alone.signal(signal.SIGTERM)
    alone.signal(signal.SIGCONT)
    assert await alone.ended(LEAVES_WITHIN) == 0
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


@pytest.mark.parametrize("folder", ["opened", "outcomes"])
async def test_a_stop_while_the_store_is_out_of_reach_is_heeded(bench: Bench, folder: str) -> None:
    batch = bench.batch
    obstacle = bench.store.root / "batches" / batch / folder
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder must be")
    first = await bench.worker(BATCH_GRACE=GRACE)
    handle = await bench.start(RECIPIENTS, batch, **ONE_SLICE)
    progress = await waiting(handle)
    assert str(bench.store) in progress.waiting[0].what
    first.signal(signal.SIGTERM)
    assert await first.ended(LEAVES_WITHIN) == 0
    obstacle.unlink()
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


@KEPT_OR_NOT
@pytest.mark.behaviour(held_at(STAGES[0]))
async def test_all_workers_replaced_one_by_one_leave_nobody_in_doubt(bench: Bench) -> None:
    """The new one up, the old one down, in the midst of a batch: a roll-out.

    Three workers carry five slices, at most two each: so each old one has some in hand when it is stopped,
    with a mail in flight on each connection, and hands them back.
    """
    workers = [await bench.worker(BATCH_SLICES="2") for _ in STAGES]
    handle = await bench.start(RECIPIENTS, **FIVE_SLICES)
    for old, stage, then in zip(workers, STAGES, (*STAGES[1:], ""), strict=True):
        await all_in_flight(bench, stage)
        await bench.worker(BATCH_SLICES="2")
        old.signal(signal.SIGTERM)
        await old.says("stopping: slices hand back")
        bench.relay.behave(held_at(then) if then else held_at())
        assert await old.ended() == 0
    bench.assert_everyone_once(await handle.result())
    assert await parts(handle) >= 5 + 3, "each of the three handed back"


@pytest.mark.behaviour(held_at(STAGES[0]))
async def test_one_of_several_workers_stopped_leaves_nobody_in_doubt(bench: Bench) -> None:
    """Of five slices it carries two or three, with a mail in flight on each connection, and hands them
    back."""
    first, second = [await bench.worker(BATCH_SLICES="3") for _ in range(2)]
    handle = await bench.start(RECIPIENTS, **FIVE_SLICES)
    await all_in_flight(bench, STAGES[0])
    first.signal(signal.SIGTERM)
    await first.says("stopping: slices hand back")
    bench.relay.release()
    assert await first.ended() == 0
    bench.assert_everyone_once(await handle.result())
    assert await parts(handle) >= 5 + 2, "its slices were handed back"
    second.signal(signal.SIGTERM)
    assert await second.ended() == 0


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.behaviour(HELD_AT_60)
async def test_a_second_signal_does_not_hurry_a_worker_that_settles_what_is_in_flight(
    bench: Bench, again: signal.Signals
) -> None:
    first = await bench.worker()
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS)
    first.signal(signal.SIGTERM)
    await first.says("stopping: slices hand back")
    first.signal(again)
    bench.relay.release()
    assert await first.ended() == 0
    assert sum(bench.accepted().values()) == 60 + CONNECTIONS, "in flight is settled, nobody else is named"
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


@pytest.mark.behaviour(HELD_AT_60)
async def test_a_worker_whose_relay_answers_leaves_long_before_its_grace_is_over(bench: Bench) -> None:
    first = await bench.worker(BATCH_GRACE="5m")
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS)
    first.signal(signal.SIGTERM)
    bench.relay.release()
    assert await first.ended() == 0
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


@pytest.mark.behaviour(HELD_AT_60)
async def test_a_worker_whose_relay_does_not_answer_leaves_within_its_grace(bench: Bench) -> None:
    """Whoever the relay has not answered for is in doubt then, and nobody else."""
    first = await bench.worker(BATCH_GRACE=GRACE)
    handle = await bench.start(RECIPIENTS, in_doubt="hold", **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS)
    first.signal(signal.SIGTERM)
    assert await first.ended(LEAVES_WITHIN) == 0
    bench.relay.behave(Behaviour())
    await bench.worker()
    result = await handle.result()
    bench.assert_the_promise(result)
    assert (result.sent, result.unknown) == (RECIPIENTS - CONNECTIONS, CONNECTIONS)
    assert max(bench.accepted().values()) == 1


# How it is done


async def all_in_flight(bench: Bench, stage: str) -> None:
    """Until the relay holds a mail on each connection of each slice."""
    held = re.compile(f"-{stage}")
    await bench.relay.wait_for(
        lambda event: event.event == "dot" and bool(held.search(event.address)),
        times=FIVE_SLICES["connections"],
        seconds=60,
    )


async def parts(handle: Handle) -> int:
    """How often a slice was scheduled: the first time, and again by each that handed back."""
    scheduled = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        async for event in handle.fetch_history_events()
    ]
    return scheduled.count("send_slice")

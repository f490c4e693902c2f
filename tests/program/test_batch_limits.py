"""A relay that limits rate or connections is used with nearly all that it takes, and asked little more."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from tests.program.bench import Bench, waiting
from tests.program.test_batch_pauses import until
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

RATE = 40.0

MEASURED = 3
"""Times: a machine that stands still for a moment is no fault of the program's, nor happens each time."""


def _happened(bench: Bench) -> Counter[str]:
    return Counter(event.event for event in bench.relay.events())


def _first_with(bench: Bench, connections: int, before: int) -> int:
    """How many connections had been asked for when so many were first open, later than `before`; else 0."""
    happened: Counter[str] = Counter()
    for number, event in enumerate(bench.relay.events()):
        happened[event.event] += 1
        if number >= before and happened["connected"] - happened["closed"] >= connections:
            return happened["connected"]
    return 0


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("mail", "450 4.7.1 Error: too much mail from 127.0.0.1"),
        ("mail", "421 4.7.0 Error: too much mail from 127.0.0.1"),
        ("rcpt", "450 4.7.1 Error: too many recipients from 127.0.0.1"),
        ("rcpt", "421 4.7.0 Too fast"),
        ("rcpt", "451 Temporary local problem"),
        ("dot", "454 Throttling failure: Maximum sending rate exceeded."),
        ("dot", "421 4.3.2 Busy"),
    ],
)
async def test_a_rate_limit_is_kept_and_nobody_expires_though_nobody_has_a_second_try(
    bench: Bench, stage: str, answer: str
) -> None:
    limited = Behaviour(rate=RATE, rate_at=stage, over_rate=answer, fsync=False)  # type: ignore[arg-type]
    await bench.worker()
    for number in range(MEASURED):
        bench.relay.begin_anew(limited)
        # In two slices: on a busy machine each boundary between two takes a good part of a second.
        handle = await bench.start(
            300, f"{bench.batch}-{number}", connections=20, slice_size=150, retry_delays=()
        )
        bench.assert_everyone_once(await handle.result())
        happened = _happened(bench)
        times = [entry.time for entry in bench.relay.record()]
        allowed = RATE * (times[-1] - times[0])  # and a second's worth at once at the beginning
        is_used = len(times) >= 0.8 * allowed
        if is_used and happened[stage] <= 1.2 * len(times) and happened["connected"] <= 20 + 0.2 * len(times):
            return
    pytest.fail(f"of {allowed:.0f} the relay took {len(times)}, refusing others: {happened}")


@pytest.mark.parametrize("over_limit", ["421", "drop"])
@pytest.mark.parametrize("slice_size", [None, 50])
async def test_a_relay_that_admits_few_connections_is_seldom_asked_for_more(
    bench: Bench, over_limit: str, slice_size: int | None
) -> None:
    limited = Behaviour(max_connections=3, over_limit=over_limit, fsync=False)  # type: ignore[arg-type]
    bench.relay.behave(limited)
    await bench.worker()
    result = await (await bench.start(200, connections=20, slice_size=slice_size)).result()
    bench.assert_everyone_once(result)
    assert _happened(bench)["connected"] <= 40, "20 at first, then one at a time, whatever the slices"


async def test_connections_that_end_after_some_mails_are_replaced_without_asking_for_more(
    bench: Bench,
) -> None:
    bench.relay.behave(Behaviour(max_connections=3, messages_per_connection=5, fsync=False))
    await bench.worker()
    result = await (await bench.start(400, connections=20)).result()
    bench.assert_everyone_once(result)
    assert _happened(bench)["connected"] <= 20 + 2 * 400 / 5


async def test_a_relay_that_limits_new_connections_is_mailed_as_fast_as_they_allow(bench: Bench) -> None:
    bench.relay.behave(
        Behaviour(
            rate=5,
            rate_at="greeting",
            over_rate="421 4.7.0 Too many connections from 127.0.0.1",
            messages_per_connection=10,
            fsync=False,
        )
    )
    await bench.worker()
    result = await (await bench.start(300, connections=20, retry_delays=())).result()
    bench.assert_everyone_once(result)
    assert _happened(bench)["connected"] <= 20 + 6 * 300 / 10


async def test_a_relay_that_admits_more_connections_again_is_used_with_all_of_them(bench: Bench) -> None:
    slow = (Fault(stage="recorded", do="delay", seconds=0.05),)
    bench.relay.behave(Behaviour(max_connections=2, faults=slow, fsync=False))
    await bench.worker()
    handle = await bench.start(4_000, connections=20, slice_size=4_000)
    await bench.relay.wait_for(recorded, times=100)
    asked = _happened(bench)["connected"]
    before = len(bench.relay.events())
    bench.relay.behave(Behaviour(faults=slow, fsync=False))
    async with asyncio.timeout(60):
        while not (reached := _first_with(bench, 20, before)):  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.05)
    assert reached <= asked + 25
    bench.relay.behave(Behaviour(fsync=False))
    bench.assert_everyone_once(await handle.result())


async def test_greylisting_that_reads_like_a_rate_limit_defers_only_those_whom_it_meets(bench: Bench) -> None:
    greylisted = Fault(stage="rcpt", reply="450 4.7.1 Greylisted, come back later", match=r"reader-\d*0@")
    bench.relay.behave(Behaviour(faults=(greylisted,), fsync=False))
    await bench.worker()
    soon = tuple([timedelta(seconds=1)] * 60)
    handle = await bench.start(300, connections=5, slice_size=300, retry_delays=soon)
    await until(handle, lambda progress: progress.deferred == 30)
    assert len(bench.relay.record()) == 270
    bench.relay.behave(Behaviour(fsync=False))
    bench.assert_everyone_once(await handle.result())


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("mail", "421 4.7.0 Too fast"),
        ("rcpt", "421 4.7.0 Too fast"),
        ("rcpt", "450 4.7.1 Error: too many recipients from 127.0.0.1"),
        ("data", "421 4.7.0 Too fast"),
        ("dot", "421 4.3.2 Busy"),
        ("dot", "450 4.7.1 Error: too many recipients from 127.0.0.1"),
    ],
)
async def test_a_quota_used_up_in_the_midst_is_waited_for_and_expires_nobody(
    bench: Bench, stage: str, answer: str
) -> None:
    slow = Fault(stage="recorded", do="delay", seconds=0.02)
    used_up = Fault(stage=stage, reply=answer, skip=200)  # type: ignore[arg-type]
    bench.relay.behave(Behaviour(faults=(slow, used_up), fsync=False))
    await bench.worker()
    handle = await bench.start(1_000, connections=20, slice_size=1_000, retry_delays=())
    progress = await waiting(handle)
    assert answer[:9] in progress.waiting[0].what
    asked = _happened(bench)["connected"]
    assert asked <= 20 + 20 + 5, "each is replaced once, then one at a time"
    bench.relay.behave(Behaviour(fsync=False))
    bench.assert_everyone_once(await handle.result())

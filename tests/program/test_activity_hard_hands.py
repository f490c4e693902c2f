"""An operator resets, pauses and unpauses slices under their workers: nobody is lost, nobody is silently
mailed twice, and a paused slice stays paused."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from batchmail.batch.result import BatchResult
from tests.program.bench import DEATHS_NOTICED, Bench, held_after
from tests.program.deaf import Deaf
from tests.program.operators import activity, until_each
from tests.relays import Behaviour, Fault

ADMIN = "admin@example.org"
CONNECTIONS = 5
RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {"connections": CONNECTIONS, "slice_size": RECIPIENTS}
BEFORE = 60

DEADLY: dict[str, Any] = ONE_SLICE | {"heartbeat_timeout": DEATHS_NOTICED}

HELD_AT_60 = held_after(BEFORE)

BOTH_POLICIES = pytest.mark.parametrize("in_doubt", ["resend", "hold"])
RESETS = pytest.mark.parametrize("flags", [(), ("--reset-heartbeats",)], ids=["kept", "heartbeats lost"])


def is_paused(one: PendingActivityInfo) -> bool:
    """Whether it is at rest, and is not given to a worker."""
    return one.paused and one.state == PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED


async def in_flight(bench: Bench) -> None:
    """Until each connection waits for the relay's word on a body."""
    await bench.relay.wait_for(lambda event: event.event == "dot", times=BEFORE + CONNECTIONS)


def assert_the_promise(bench: Bench, result: BatchResult, in_doubt: str, most: int) -> None:
    """Nobody lost; at most so many in doubt; with hold nobody accepted twice, else everybody is sent to."""
    rows = bench.assert_the_promise(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= most
    assert result.sent + result.unknown == RECIPIENTS
    if in_doubt == "hold":
        assert max(bench.accepted().values()) == 1
    else:
        assert result.sent == RECIPIENTS


@BOTH_POLICIES
@RESETS
@pytest.mark.behaviour(HELD_AT_60)
async def test_a_slice_reset_with_mails_in_flight_goes_on_from_what_is_known(
    bench: Bench, flags: tuple[str, ...], in_doubt: str
) -> None:
    """Its ledger hands on what the relay answers meanwhile; where the operator throws that away, the store
    still tells that the slice was begun, and all of it is in doubt by name."""
    await bench.worker()
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    await in_flight(bench)
    await activity(bench, handle, "reset", *flags)
    bench.relay.release()
    result = await handle.result()
    await bench.all_connections_closed()
    assert_the_promise(bench, result, in_doubt, RECIPIENTS if flags else CONNECTIONS)


@BOTH_POLICIES
@RESETS
async def test_a_slice_reset_between_two_attempts_goes_on(
    bench: Bench, flags: tuple[str, ...], in_doubt: str
) -> None:
    victim = await bench.worker(arm=f"body_sent:{BEFORE}=kill")
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **DEADLY)
    assert await victim.ended() == -signal.SIGKILL
    await until_each(handle, lambda one: one.attempt > 1)
    await activity(bench, handle, "reset", *flags)
    await bench.worker()
    assert_the_promise(bench, await handle.result(), in_doubt, RECIPIENTS if flags else CONNECTIONS)


@RESETS
@pytest.mark.parametrize("moment", ["intent_acknowledged:60", "body_sent:60"])
async def test_a_worker_frozen_over_a_reset_sends_nothing_beside_its_successor(
    bench: Bench, moment: str, flags: tuple[str, ...]
) -> None:
    """Attempt number and token are then its successor's too: the lease alone tells it to be silent."""
    async with Deaf(bench) as proxy:
        frozen = await bench.worker(arm=f"{moment}=stop", TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(RECIPIENTS, in_doubt="hold", **DEADLY)
        await frozen.frozen()
        proxy.cut()  # else the server gives it tasks for as long as its polls are open: a minute
        await activity(bench, handle, "reset", *flags)
        await bench.worker()
        result = await handle.result()
        before = len(bench.relay.events())
        frozen.signal(signal.SIGCONT)
        frozen.signal(signal.SIGTERM)
        assert await frozen.ended() == 0
    assert not [one for one in bench.relay.events()[before:] if one.event in ("mail", "data")]
    assert_the_promise(bench, result, "hold", RECIPIENTS if flags else CONNECTIONS)


@pytest.mark.behaviour(HELD_AT_60)
async def test_a_paused_slice_settles_what_is_in_flight_and_mails_nobody_until_it_is_unpaused(
    bench: Bench,
) -> None:
    first = await bench.worker()
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await in_flight(bench)
    await activity(bench, handle, "pause")
    bench.relay.release()
    await until_each(handle, is_paused)
    assert sum(bench.accepted().values()) == BEFORE + CONNECTIONS, "in flight is settled, nobody else named"

    await bench.worker()
    first.signal(signal.SIGTERM)
    assert await first.ended() == 0
    await until_each(handle, is_paused)
    assert sum(bench.accepted().values()) == BEFORE + CONNECTIONS, "a new worker does not undo the pause"

    await activity(bench, handle, "unpause")
    bench.assert_everyone_once(await handle.result())


@BOTH_POLICIES
@pytest.mark.behaviour(HELD_AT_60)
async def test_a_slice_unpaused_without_its_heartbeats_is_in_doubt_by_name(
    bench: Bench, in_doubt: str
) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    await in_flight(bench)
    await activity(bench, handle, "pause")
    bench.relay.release()
    await until_each(handle, is_paused)
    await activity(bench, handle, "unpause", "--reset-heartbeats")
    assert_the_promise(bench, await handle.result(), in_doubt, RECIPIENTS)


async def test_a_slice_paused_over_its_workers_death_goes_on_when_it_is_unpaused(bench: Bench) -> None:
    victim = await bench.worker(arm=f"body_sent:{BEFORE}=stop")
    handle = await bench.start(RECIPIENTS, **DEADLY)
    await victim.frozen()
    await activity(bench, handle, "pause")
    victim.signal(signal.SIGKILL)
    await victim.ended()
    await bench.worker()
    await until_each(handle, lambda one: one.paused)
    await bench.all_connections_closed()
    assert sum(bench.accepted().values()) <= BEFORE
    await activity(bench, handle, "unpause")
    assert_the_promise(bench, await handle.result(), "resend", CONNECTIONS)


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="dot", do="hold", match=ADMIN),)))
@pytest.mark.parametrize("words", [("reset",), ("reset", "--reset-heartbeats"), ("pause",)], ids=" ".join)
async def test_the_admins_mail_reset_or_paused_in_flight_is_told_at_most_twice(
    bench: Bench, words: tuple[str, ...]
) -> None:
    await bench.worker()
    handle = await bench.start(10, admins=(ADMIN,))
    await bench.relay.wait_for(lambda event: event.event == "dot" and ADMIN in event.address)
    await activity(bench, handle, *words, kind="notify_admin")
    bench.relay.release()
    if words == ("pause",):
        await until_each(handle, is_paused, kind="notify_admin")
        await activity(bench, handle, "unpause", kind="notify_admin")
    result = await handle.result()
    assert result.admin_notified
    told = [entry.message_id for entry in bench.relay.record() if entry.recipient == ADMIN]
    assert len(told) == 1 or (len(told) == 2 and "--reset-heartbeats" in words)
    assert len(set(told)) == 1, "a second one is the same mail"


@pytest.mark.parametrize("kind", ["open_batch", "write_report"])
@pytest.mark.parametrize("words", [("reset",), ("pause",)], ids=" ".join)
async def test_a_step_beside_the_slices_reset_or_paused_is_done_all_the_same(
    bench: Bench, kind: str, words: tuple[str, ...]
) -> None:
    worker = await bench.worker(arm=f"{kind}:1=stop")
    handle = await bench.start(20)
    await worker.frozen()
    await activity(bench, handle, *words, kind=kind)
    if words == ("pause",):
        await until_each(handle, lambda one: one.paused, kind=kind)
        await activity(bench, handle, "unpause", kind=kind)
    worker.signal(signal.SIGCONT)
    bench.assert_everyone_once(await handle.result())

"""Whatever dies, at whatever moment, alone or with all the others: the batch goes on by itself.

Who may be in doubt is bounded by what died: one recipient a connection for each attempt that was superseded.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from batchmail.client import Batch
from scripts.server import Stack
from tests.postgres.going_on import assert_that_it_goes_on, revive
from tests.program.bench import DEATHS_NOTICED, Bench
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded

CONNECTIONS = 5
RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {
    "connections": CONNECTIONS,
    "slice_size": RECIPIENTS,
    "heartbeat_timeout": DEATHS_NOTICED,
}

Kill = Callable[[Stack], None]


def temporal(stack: Stack) -> None:
    stack.temporal.kill()


def postgres(stack: Stack) -> None:
    stack.postgres.kill()


def both(stack: Stack) -> None:
    stack.kill_all()


@pytest.fixture
def temporal_server(own_stack: Stack) -> str:
    """The address of a stack that may be killed."""
    return own_stack.address


@pytest.mark.parametrize("kill", [temporal, postgres])
async def test_a_server_killed_while_bodies_are_on_their_way(
    bench: Bench, own_stack: Stack, kill: Kill
) -> None:
    worker = await bench.worker(arm="body_sent:60=stop")
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await worker.frozen()
    kill(own_stack)
    worker.signal(signal.SIGCONT)
    await revive(own_stack)
    await assert_that_it_goes_on(bench, handle, CONNECTIONS)


@pytest.mark.parametrize("moment", ["intent_acknowledged:60", "body_sent:60"])
@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
async def test_worker_server_and_database_killed_at_once(
    bench: Bench, own_stack: Stack, moment: str, in_doubt: str
) -> None:
    worker = await bench.worker(arm=f"{moment}=stop")
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    await worker.frozen()
    both(own_stack)
    worker.signal(signal.SIGKILL)
    await worker.ended()
    await revive(own_stack)
    await bench.worker()
    result = await assert_that_it_goes_on(bench, handle, CONNECTIONS)
    if in_doubt == "hold":
        assert max(bench.accepted().values()) == 1, "under hold nobody is ever accepted twice"
    else:
        assert result.sent == RECIPIENTS


async def test_one_after_the_other_in_the_same_batch(bench: Bench, own_stack: Stack) -> None:
    slowly = Behaviour(faults=(Fault(stage="data", do="delay", seconds=0.2),))
    nobody = Behaviour(faults=(Fault(stage="data", do="hold"),))
    bench.relay.behave(slowly)
    victim = await bench.worker(arm="body_sent:20=kill")
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    assert await victim.ended() == -signal.SIGKILL
    bench.relay.behave(nobody)  # while anything comes up, however long that takes
    await bench.worker()
    for kill in (temporal, postgres, both):
        before = len(bench.relay.record())
        bench.relay.behave(slowly)
        await bench.relay.wait_for(recorded, times=before + 20)
        kill(own_stack)
        bench.relay.behave(nobody)
        assert len(bench.relay.record()) < RECIPIENTS, "it met the batch on its way"
        await revive(own_stack)
    bench.relay.behave(slowly)
    result = await assert_that_it_goes_on(bench, handle, CONNECTIONS)
    assert result.sent == RECIPIENTS


async def test_a_starter_that_waits_outlasts_all_of_them_and_ends_with_the_result(
    bench: Bench, own_stack: Stack, desk: Desk
) -> None:
    desk.write_list(RECIPIENTS)
    worker = await bench.worker(arm="body_sent:60=stop")
    waiting = desk.start("--json", "--connections", str(CONNECTIONS), BATCH_HEARTBEAT_TIMEOUT="5s")
    await worker.frozen()
    both(own_stack)
    worker.signal(signal.SIGKILL)
    waiting.wait_for("Temporal does not answer since ")
    await revive(own_stack)
    await bench.worker()
    result = waiting.ended(0).object
    assert result["sent"] == RECIPIENTS
    assert desk.call("--json", code=0).object == result
    twice = [name for name, times in bench.accepted().items() if times > 1]
    assert len(twice) <= result["in_doubt_resent"]


async def test_a_stack_stopped_in_mid_batch_goes_on_from_its_data(bench: Bench, own_stack: Stack) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", do="hold", match="reader-(1[0-9][0-9]|200)@"),)))
    first = await bench.worker()
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await bench.relay.wait_for(recorded, times=40)
    await asyncio.to_thread(own_stack.stop)
    bench.relay.release()
    first.signal(signal.SIGTERM)
    await first.ended()
    await asyncio.to_thread(own_stack.start)
    await bench.worker()
    result = await assert_that_it_goes_on(bench, handle, CONNECTIONS)
    assert result.sent == RECIPIENTS
    await asyncio.to_thread(own_stack.stop)
    await asyncio.to_thread(own_stack.start)
    assert await Batch(bench.client, handle.id).result() == result, "answered from history"

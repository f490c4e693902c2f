"""The server's side at fault: at the start one sentence with the remedy; in mid batch the batch waits, and
goes on by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchmail.errors import EngineError
from scripts.server import Stack
from tests.postgres.going_on import assert_that_it_goes_on, revive
from tests.program.bench import DEATHS_NOTICED, Bench
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.process import recorded
from tests.stacks import MakeStack

CONNECTIONS = 5
RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {
    "connections": CONNECTIONS,
    "slice_size": RECIPIENTS,
    "heartbeat_timeout": DEATHS_NOTICED,
}

OUTAGE = 20.0
"""Seconds: four times the heartbeat time-out, and longer than the patience of client and server."""

LITTLE = {"frontend.namespaceRPS": 25, "frontend.namespaceBurstRatio": 1.0}
"""Requests a second, where a batch alone makes hundreds."""

NOTHING = {"frontend.namespaceRPS": 0}

NOW_AND_THEN = {"ExecutionStore": {"UpdateWorkflowExecution": {"Timeout": 0.05, "ExecuteAndTimeout": 0.05}}}
"""Calls that fail, of which half have been carried out: the caller cannot know."""


@pytest.fixture
def options() -> dict[str, Any]:
    """What is particular about the server."""
    return {}


@pytest.fixture
def server(make_stack: MakeStack, options: dict[str, Any]) -> Stack:
    """A server that may be harmed."""
    return make_stack(**options)


@pytest.fixture
def temporal_server(server: Stack) -> str:
    """Its address."""
    return server.address


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """The starter with a list."""
    desk.write_list(3)
    return desk


async def test_an_address_or_a_namespace_that_is_not_there(bench: Bench, desk: Desk) -> None:
    for setting, wrong, said in (
        ("TEMPORAL_NAMESPACE", "nowhere", "has no namespace 'nowhere': create it with `temporal operator"),
        ("TEMPORAL_ADDRESS", "127.0.0.1:1", "No Temporal server answers at 127.0.0.1:1: start it, or set"),
    ):
        for environment in (bench.environment, desk.environment):
            environment[setting] = wrong
        await assert_both_say(bench, desk, said)


async def test_a_database_that_is_down_at_the_start(bench: Bench, desk: Desk, server: Stack) -> None:
    await bench.worker()
    # A server whose database goes away while it is still starting would end.
    assert desk.call("--json", code=0).object["sent"] == 3
    server.postgres.kill()
    await assert_both_say(bench, desk, ": see whether its database runs, and try again.")
    server.temporal.kill()
    with pytest.raises(EngineError, match=r"did not come up \(.* no usable database connection"):
        server.temporal.start()
    await revive(server)
    assert desk.call("--json", "--again", code=0).object["sent"] == 3


async def test_a_database_without_the_schema(bench: Bench, desk: Desk, server: Stack) -> None:
    server.temporal.kill()
    server.postgres.query("temporal", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with pytest.raises(EngineError, match=r'did not come up \(.* "schema_version" does not exist'):
        server.temporal.start()
    await assert_both_say(bench, desk, f"No Temporal server answers at {server.address}: start it, or")
    server.stop()
    server.start()  # which sets up what is missing
    await bench.worker()
    assert desk.call("--json", code=0).object["sent"] == 3


async def test_a_database_away_for_longer_than_every_lease(bench: Bench, server: Stack) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="data", do="delay", seconds=0.1),)))
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await bench.relay.wait_for(recorded, times=40)
    server.postgres.kill()
    await asyncio.sleep(OUTAGE)  # the fault itself
    assert len(bench.relay.record()) < RECIPIENTS, "nobody is mailed without an acknowledgement"
    await revive(server)
    result = await assert_that_it_goes_on(bench, handle, CONNECTIONS)
    assert result.sent == RECIPIENTS


@pytest.mark.parametrize("options", [{"dynamic_config": LITTLE}], ids=["few"])
async def test_a_server_that_admits_few_requests_slows_a_batch_and_no_more(bench: Bench) -> None:
    await bench.worker()
    result = await assert_that_it_goes_on(
        bench, await bench.start(100, connections=CONNECTIONS, slice_size=50), CONNECTIONS
    )
    assert result.sent == 100


@pytest.mark.parametrize("options", [{"faults": NOW_AND_THEN}], ids=["now and then"])
async def test_a_database_whose_calls_fail_now_and_then(bench: Bench) -> None:
    await bench.worker()
    twice_as_many = {**ONE_SLICE, "slice_size": 2 * RECIPIENTS}  # of so many heartbeats one surely fails
    handle = await bench.start(2 * RECIPIENTS, in_doubt="hold", **twice_as_many)
    result = await assert_that_it_goes_on(bench, handle, CONNECTIONS)
    assert max(bench.accepted().values()) == 1, "under hold nobody is ever accepted twice"
    assert result.sent > 0


async def test_a_server_that_admits_no_requests(
    bench: Bench, desk: Desk, server: Stack, tmp_path: Path
) -> None:
    server.stop()
    limited = Stack(tmp_path / "stack", dynamic_config=NOTHING)
    try:
        limited.postgres.start()
        limited.temporal.start()
        await assert_both_say(bench, desk, "has reached a limit for namespace 'default'")
    finally:
        limited.kill_all()


# How it is done


async def assert_both_say(bench: Bench, desk: Desk, said: str) -> None:
    """Starter and worker each end with this one sentence."""
    assert said in the_error(desk.call("--json", "--again", code=3).err)
    worker = bench.launch()
    assert await worker.ended() == 3
    assert said in the_error(worker.log())


def the_error(text: str) -> str:
    """The last line, the only one that speaks of an error."""
    *before, line = text.splitlines()
    assert line.startswith("error: ")
    assert "rror" not in "".join(before)
    return line

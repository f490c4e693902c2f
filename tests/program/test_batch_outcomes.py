"""Every outcome, end to end: what the relay says becomes what the report says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.program.bench import KEPT_OR_NOT, Bench, Row
from tests.relays import Behaviour, Fault

SOON = (timedelta(seconds=0.2), timedelta(seconds=0.2))


def _by_address(rows: list[Row]) -> dict[str, Row]:
    return {row.address.partition("@")[0].removeprefix("reader-"): row for row in rows}


@pytest.mark.behaviour(
    Behaviour(
        faults=(
            Fault(stage="rcpt", reply="550 5.1.1 <reader-1@example.com>: no such user", match="reader-1@"),
            Fault(stage="dot", reply="554 5.7.1 we call this spam", match="reader-2@"),
            Fault(stage="rcpt", reply="450 4.2.0 greylisted", match="reader-3@", times=2),
            Fault(stage="rcpt", reply="452 4.2.2 mailbox full", match="reader-4@"),
            Fault(stage="rcpt", do="drop", match="reader-5@", times=1),
            Fault(stage="recorded", do="drop", match="reader-6@", times=1),
            Fault(stage="rcpt", do="drop", match="reader-7@"),
            Fault(stage="recorded", do="drop", match="reader-8@"),
            Fault(stage="dot", reply="421 4.3.2 going down", match="reader-9@", times=1),
            Fault(stage="data", reply="451 4.3.0 try again", match="reader-10@", times=1),
        )
    )
)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_every_outcome_of_the_table(bench: Bench, pipelining: bool) -> None:
    if not pipelining:
        faults = bench.behaviour.faults
        bench.relay.behave(Behaviour(pipelining=False, faults=faults))
    await bench.worker()
    handle = await bench.start(12, retry_delays=SOON, connections=3, slice_size=12)
    result = await handle.result()
    rows = _by_address(bench.assert_the_promise(result))
    assert (rows["1"].outcome, rows["1"].code, rows["1"].enhanced_code) == ("rejected", "550", "5.1.1")
    assert "mailbox" in rows["1"].reason
    assert "no such user" in rows["1"].relay_said
    assert (rows["2"].outcome, rows["2"].code) == ("rejected", "554")
    assert rows["3"].outcome == "sent", "greylisting passes"
    assert (rows["4"].outcome, rows["4"].enhanced_code) == ("expired", "4.2.2")
    assert (rows["5"].outcome, rows["5"].in_doubt) == ("sent", "no"), "lost once, before the body"
    assert (rows["6"].outcome, rows["6"].in_doubt) == ("sent", "yes"), "lost once, after the body"
    assert (rows["7"].outcome, rows["7"].in_doubt) == ("expired", "no"), "never in doubt"
    assert (rows["8"].outcome, rows["8"].in_doubt) == ("unknown", "yes"), "lost every time, after the body"
    assert rows["9"].outcome == rows["10"].outcome == rows["11"].outcome == rows["12"].outcome == "sent"
    assert (result.sent, result.rejected, result.expired, result.unknown) == (7, 2, 2, 1)
    assert bench.accepted()["reader-6@example.com"] == 2


@pytest.mark.behaviour(
    Behaviour(faults=(Fault(stage="recorded", do="drop", match="reader-6@"),)),
)
async def test_under_hold_who_is_in_doubt_is_not_mailed_again(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(12, in_doubt="hold", retry_delays=SOON)
    result = await handle.result()
    rows = _by_address(bench.assert_the_promise(result))
    assert rows["6"].outcome == "unknown"
    assert bench.accepted()["reader-6@example.com"] == 1
    assert (result.sent, result.unknown, result.in_doubt_resent) == (11, 1, 0)


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="rcpt", reply="450 4.2.0 later", times=1_000),)))
@KEPT_OR_NOT
async def test_a_whole_list_deferred_is_tried_again_in_few_parts(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(1_000, connections=20, slice_size=100, retry_delays=SOON)
    result = await handle.result()
    assert result.sent == 1_000
    bench.assert_the_promise(result)
    timers = slices = 0
    async for event in handle.fetch_history_events():
        timers += event.HasField("timer_started_event_attributes")
        slices += event.HasField("activity_task_scheduled_event_attributes")
    assert timers <= 20
    assert slices <= 30


@pytest.mark.behaviour(Behaviour(max_connections=3))
async def test_a_relay_that_admits_fewer_connections_is_used_with_what_it_admits(bench: Bench) -> None:
    await bench.worker()
    result = await (await bench.start(500, connections=10, slice_size=500)).result()
    assert result.sent == 500
    rows = bench.assert_the_promise(result)
    assert {row.in_doubt for row in rows} == {"no"}


@pytest.mark.behaviour(Behaviour(messages_per_connection=7))
async def test_a_relay_that_closes_after_some_messages_costs_nobody(bench: Bench) -> None:
    await bench.worker()
    result = await (await bench.start(300, connections=5, slice_size=300)).result()
    assert result.sent == 300
    rows = bench.assert_the_promise(result)
    assert {row.in_doubt for row in rows} == {"no"}

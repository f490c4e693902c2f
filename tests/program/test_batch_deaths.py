"""Whatever dies on the way: nobody is lost, and nobody is silently mailed twice."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from batchmail.batch.result import Status
from tests.program.bench import KEPT_OR_NOT, Bench, Handle, waiting
from tests.relays import Behaviour, Fault

CONNECTIONS = 5
"""Of the one slice in these tests: so many may be in doubt for each worker that dies."""

RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {"connections": CONNECTIONS, "slice_size": RECIPIENTS}


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
@pytest.mark.parametrize("moment", ["intent_acknowledged:60", "body_sent:60"])
async def test_a_killed_worker_leaves_at_most_one_recipient_in_doubt_per_connection(
    bench: Bench, moment: str, in_doubt: str
) -> None:
    victim = await bench.worker(arm=f"{moment}=kill")
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    assert await victim.ended() == -signal.SIGKILL
    await bench.worker()
    result = await handle.result()
    rows = bench.assert_the_promise(result)
    doubtful = [row for row in rows if row.in_doubt == "yes"]
    assert 1 <= len(doubtful) <= CONNECTIONS
    twice = [name for name, times in bench.accepted().items() if times > 1]
    if in_doubt == "hold":
        assert not twice
        assert result.unknown == len(doubtful)
        assert result.sent == RECIPIENTS - result.unknown
    else:
        assert result.sent == RECIPIENTS
        assert result.in_doubt_resent == len(doubtful)
        assert set(twice) <= {row.address for row in doubtful}


async def test_a_worker_killed_again_and_again_still_finishes(bench: Bench) -> None:
    handle = None
    for moment in ("body_sent:20", "intent_acknowledged:20", "handed_back:1"):
        victim = await bench.worker(arm=f"{moment}=kill")
        handle = handle or await bench.start(RECIPIENTS, **ONE_SLICE)
        assert await victim.ended(60) == -signal.SIGKILL
    await bench.worker()
    assert handle is not None
    result = await handle.result()
    assert result.sent == RECIPIENTS
    rows = bench.assert_the_promise(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= 2 * CONNECTIONS


@KEPT_OR_NOT
async def test_a_stopped_worker_leaves_nobody_in_doubt(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(2_000, connections=CONNECTIONS, slice_size=1_000)
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=300)
    first.signal(signal.SIGTERM)
    assert await first.ended() == 0
    assert 300 <= sum(bench.accepted().values()) < 2_000, "the stop met the batch on its way"
    await bench.worker()
    result = await handle.result()
    assert result.sent == 2_000
    rows = bench.assert_the_promise(result)
    assert {row.in_doubt for row in rows} == {"no"}
    assert set(bench.accepted().values()) == {1}


async def test_a_frozen_worker_begins_nothing_once_it_is_thawed(bench: Bench) -> None:
    async with Deaf(bench) as proxy:
        frozen = await bench.worker(arm="body_sent:60=stop", TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(RECIPIENTS, in_doubt="hold", **ONE_SLICE)
        await frozen.frozen()
        proxy.cut()  # else the server gives it tasks for as long as its polls are open: a minute
        await bench.worker()
        result = await handle.result()
        before = len(bench.relay.events())
        frozen.signal(signal.SIGCONT)
        frozen.signal(signal.SIGTERM)
        assert await frozen.ended() == 0
    begun = [event for event in bench.relay.events()[before:] if event.event in ("mail", "data")]
    assert begun == [], "a superseded attempt begins no transaction"
    rows = bench.assert_the_promise(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= CONNECTIONS
    assert max(bench.accepted().values()) == 1, "under hold nobody is ever accepted twice"


@KEPT_OR_NOT
async def test_a_batch_cancelled_between_two_attempts_mails_nobody_new(bench: Bench) -> None:
    victim = await bench.worker(arm="body_sent:60=kill")
    handle = await bench.start(RECIPIENTS, admins=("admin@example.org",), **ONE_SLICE)
    assert await victim.ended() == -signal.SIGKILL
    await bench.all_connections_closed()  # what the victim had sent off has arrived by then
    mailed = set(bench.accepted())
    await handle.cancel()
    await bench.worker()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    assert set(bench.accepted()) - mailed <= {"admin@example.org"}
    assert result.sent + result.unknown + result.suppressed == RECIPIENTS
    assert result.unknown <= CONNECTIONS
    assert result.suppressed > 0
    assert result.admin_notified
    bench.assert_the_promise(result)


async def test_a_batch_cancelled_before_it_is_opened_mails_nobody_and_says_so(bench: Bench) -> None:
    handle = await bench.start(10)
    await handle.cancel()
    await bench.worker()
    result = await handle.result()
    assert (result.status, result.suppressed) == (Status.CANCELLED, 10)
    assert not bench.accepted()
    bench.assert_the_promise(result)


@KEPT_OR_NOT
async def test_a_running_batch_that_is_cancelled_settles_reports_and_notifies(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(3_000, admins=("admin@example.org",), connections=5, slice_size=500)
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=200)
    await handle.cancel()
    result = await handle.result()
    assert result.status is Status.CANCELLED
    assert result.suppressed > 0
    assert result.unknown == 0
    assert result.sent + result.suppressed == 3_000
    assert result.admin_notified
    rows = bench.assert_the_promise(result)
    assert {row.in_doubt for row in rows} == {"no"}


async def test_a_worker_whose_heartbeats_answers_are_lost_hands_its_ledger_on(bench: Bench) -> None:
    """The server commits, the answer never comes: the attempt ends, and nobody is mailed twice in silence."""
    async with Deaf(bench) as proxy:
        await bench.worker(TEMPORAL_ADDRESS=proxy.address)
        handle = await bench.start(2_000, in_doubt="hold", connections=5, slice_size=2_000)
        await bench.relay.wait_for(lambda event: event.event == "recorded", times=200)
        proxy.swallow_answers()
        await proxy.swallowed()
        await attempt_reached(handle, 2)
        proxy.pass_answers()
        result = await handle.result()
    bench.assert_the_promise(result)
    assert max(bench.accepted().values()) == 1
    assert result.unknown <= 5
    assert result.sent + result.unknown == 2_000


@KEPT_OR_NOT
async def test_the_relay_comes_back_and_the_batch_goes_on(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(2_000, connections=5, slice_size=1_000)
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=200)
    bench.relay.stop_accepting()
    bench.relay.kick()
    progress = await waiting(handle)
    assert "refused" in progress.waiting[0].what
    assert str(bench.relay.port) in progress.waiting[0].what
    bench.relay.accept()
    result = await handle.result()
    bench.assert_the_promise(result)
    assert result.sent == 2_000
    rows = bench.report(result)
    assert sum(row.in_doubt == "yes" for row in rows) <= 5


async def test_a_terminated_batch_started_again_goes_on_and_says_who_is_in_doubt(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(2_000, in_doubt="hold", connections=5, slice_size=500)
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=800)
    await handle.terminate()
    first.signal(signal.SIGTERM)
    await first.ended()
    assert (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED
    await bench.worker()
    again = await bench.start(2_000, in_doubt="hold", connections=5, slice_size=77)
    result = await again.result()
    bench.assert_the_promise(result)
    assert max(bench.accepted().values()) == 1
    assert result.sent + result.unknown == 2_000
    assert result.unknown <= 1_000, "only slices that were under way are in doubt"
    assert result.sent >= 1_000


# How it is done


async def attempt_reached(handle: Handle, attempt: int) -> None:
    """Until a slice is at its attempt `attempt`, or has ended."""
    async with asyncio.timeout(60):
        while True:
            pending = (await handle.describe()).raw_description.pending_activities
            if not pending or max(one.attempt for one in pending) >= attempt:
                return
            await asyncio.sleep(0.1)


class Deaf:
    """A proxy between a worker and Temporal that can swallow the server's answers: requests still arrive."""

    def __init__(self, bench: Bench) -> None:
        self._host, _, port = bench.environment["TEMPORAL_ADDRESS"].rpartition(":")
        self._port = int(port)
        self._swallow = False
        self._seen = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Deaf:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow_answers(self) -> None:
        """From now on nothing that the server says arrives."""
        self._swallow = True

    def pass_answers(self) -> None:
        """From now on new connections work again; those whose answers were swallowed are cut."""
        self._swallow = False
        self.cut()

    def cut(self) -> None:
        """Close every connection; new ones work."""
        for task in self._tasks:
            task.cancel()

    async def swallowed(self) -> None:
        """Until an answer was swallowed."""
        await self._seen.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        pumps = (self._pump(reader, back, answers=False), self._pump(there, writer, answers=True))
        both = [asyncio.create_task(pump) for pump in pumps]
        self._tasks.update(both)
        await asyncio.gather(*both, return_exceptions=True)
        for end in (back, writer):
            end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            if answers and self._swallow:
                self._seen.set()
                continue
            sink.write(data)
            await sink.drain()


async def test_a_batch_ended_between_receipt_and_notice_still_tells_the_admins(bench: Bench) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", do="hold", match="admin@"),)))
    await bench.worker()
    handle = await bench.start(10, admins=("admin@example.org",))
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "admin@" in event.address)
    await handle.terminate()
    bench.relay.behave(Behaviour())
    result = await (await bench.start(10, admins=("admin@example.org",))).result()
    assert result.admin_notified
    assert result.sent == 10
    told = [entry.message_id for entry in bench.relay.record() if entry.recipient == "admin@example.org"]
    assert 1 <= len(told) <= 2, "the terminated attempt may end what it had begun"
    assert len(set(told)) == 1
    assert sum(bench.accepted().values()) == 10 + len(told)

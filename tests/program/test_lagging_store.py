"""A store that is slow, and one whose listing lags behind its writes: less than docs/store.md asks for.

A ledger that is handed on needs no listing. Where ledgers are lost too, whoever is mailed twice is named,
unless the lag is longer than the slice.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchmail.batch.result import BatchResult
from batchmail.store import Store
from tests.bucket_line import BucketLine
from tests.buckets import BucketServer
from tests.program.bench import DEATHS_NOTICED, Bench
from tests.relays import Behaviour, Fault

CONNECTIONS = 5
RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {
    "connections": CONNECTIONS,
    "slice_size": RECIPIENTS,
    "heartbeat_timeout": DEATHS_NOTICED,
}
MARKERS = "/opened/"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[BucketServer]:
    """An object store for one test."""
    server = BucketServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def store(own_server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The bench's store."""
    return own_server.store("mailings/2031", monkeypatch)


@pytest.fixture
async def line(own_server: BucketServer) -> AsyncIterator[BucketLine]:
    """What the workers reach the store by."""
    async with BucketLine(own_server.port) as found:
        yield found


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
async def test_a_killed_workers_ledger_is_enough_where_the_listing_lags(
    bench: Bench, line: BucketLine, in_doubt: str
) -> None:
    line.lags = MARKERS
    victim = await bench.worker(arm="body_sent:60=kill", AWS_ENDPOINT_URL=line.url)
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    assert await victim.ended(60) == -signal.SIGKILL
    await bench.worker(AWS_ENDPOINT_URL=line.url)
    result: BatchResult = await handle.result()
    rows = bench.assert_the_promise(result)
    assert line.listings >= 3, "both attempts looked, and saw nobody"
    assert 1 <= sum(row.in_doubt == "yes" for row in rows) <= CONNECTIONS
    if in_doubt == "hold":
        assert max(bench.accepted().values()) == 1


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
async def test_who_is_mailed_twice_since_a_listing_lagged_is_named(
    bench: Bench, line: BucketLine, in_doubt: str
) -> None:
    """Terminated, so that the ledger is lost, and started again: the slice's last look at the markers finds
    the run before it, and all of its recipients are in doubt."""
    worker = await bench.worker(AWS_ENDPOINT_URL=line.url)
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", skip=60, times=None),)))
    handle = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS)
    await handle.terminate()
    worker.stop()
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", skip=90, times=None),)))
    line.lags = MARKERS
    await bench.worker(AWS_ENDPOINT_URL=line.url)
    again = await bench.start(RECIPIENTS, in_doubt=in_doubt, **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS + 90 + CONNECTIONS)
    line.lags = ""
    bench.relay.release()
    result = await again.result()
    rows = bench.assert_the_promise(result)
    twice = [name for name, times in bench.accepted().items() if times > 1]
    assert len(twice) >= 60, "it mailed them again, since it saw nobody's marker"
    assert set(twice) <= {row.address for row in rows if row.in_doubt == "yes"}
    assert result.sent + result.unknown == RECIPIENTS


async def test_a_worker_stopped_while_its_store_is_slow_leaves_nobody_in_doubt(
    bench: Bench, line: BucketLine
) -> None:
    line.seconds = 0.5
    first = await bench.worker(AWS_ENDPOINT_URL=line.url)
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", skip=60, times=None),)))
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await bench.relay.wait_for(lambda event: event.event == "dot", times=60 + CONNECTIONS, seconds=60)
    first.signal(signal.SIGTERM)
    await first.says("stopping: slices hand back")
    bench.relay.release()
    assert await first.ended(60) == 0
    assert sum(bench.accepted().values()) < RECIPIENTS, "the stop met the batch on its way"
    await bench.worker(AWS_ENDPOINT_URL=line.url)
    bench.assert_everyone_once(await handle.result())

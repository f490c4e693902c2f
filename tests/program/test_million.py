"""A million recipients, deferred twice: the real workflow on a real server, which takes what it keeps.

Its slices are not mailed: a stand-in gives the results that the real activity would, ledgers and all.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Worker

from batchmail.batch.ids import new_nonce
from batchmail.batch.ledger import PENDING, Ledger
from batchmail.batch.options import BatchOptions, BatchRequest
from batchmail.batch.outcomes import NO_CAUSE, Cause, Outcome, Stage
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.slices import cut
from batchmail.batch.tasks import Opened, Opening, Part, PartResult, ReportTask
from batchmail.engine.connect import connect
from tests.program.early_server import early_server
from worker import WORKFLOW_RUNNER
from workflows.batch_email import BatchEmailWorkflow

MILLION = 1_000_000
LATER = Cause(Stage.RCPT, 450, "4.2.0")
SHORT = timedelta(seconds=1)

EARLY = 500
"""Events after which the server of these tests suggests to continue as new, where a real one says 4,096."""


@pytest.fixture(scope="module")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In place of the one that all other tests share."""
    with early_server(tmp_path_factory.mktemp("early"), EARLY) as address:
        yield address


class StandIn:
    """Gives the results of the real activities: of those who are due, half are deferred, twice, at random."""

    def __init__(self, total: int, deferred: float = 0.5) -> None:
        self.total, self.deferred = total, deferred
        self.dice = random.Random(1)
        self.largest_input = 0
        self.files = 0

    @activity.defn(name="open_batch")
    async def open_batch(self, task: Opening) -> Opened:
        """As for a list of so many recipients."""
        size = cut(self.total, task.connections, task.slice_size).size
        return Opened(message="m" * 64, list_name="million.csv", total=self.total, slice_size=size)

    @activity.defn(name="send_slice")
    async def send_slice(self, part: Part) -> PartResult:
        """Who is not deferred is sent."""
        self.largest_input = max(self.largest_input, len(part.model_dump_json()))
        ledger = Ledger.read(part.ledger) if part.ledger else Ledger.of_rows(part.first, part.last)
        if part.due:
            ledger.retry()
        ledger.nonces.append(new_nonce())
        for row in list(ledger.rows(PENDING)):
            later = not part.last_try and self.dice.random() < self.deferred
            ledger.settle(row, Outcome.DEFERRED if later else Outcome.SENT, LATER if later else NO_CAUSE)
        counts = ledger.counts()
        rest = ledger.rest()
        return PartResult(
            file=f"batches/{part.batch}/outcomes/{part.first}-{part.last}/{self.dice.randbytes(16).hex()}",
            counts={Outcome.SENT: counts.get(Outcome.SENT, 0)},
            deferred=counts.get(Outcome.DEFERRED, 0),
            rest=rest.record() if rest else None,
        )

    @activity.defn(name="write_report")
    async def write_report(self, task: ReportTask) -> BatchResult:
        """All are sent."""
        self.files = len(set(task.files))
        return BatchResult(batch_id=task.batch, status=Status.COMPLETED, total=self.total, sent=self.total)

    @asynccontextmanager
    async def working(self, client: Client, queue: str) -> AsyncIterator[None]:
        """A worker with the real workflow."""
        async with Worker(
            client,
            task_queue=queue,
            workflows=[BatchEmailWorkflow],
            activities=[self.open_batch, self.send_slice, self.write_report],
            workflow_runner=WORKFLOW_RUNNER,
            disable_eager_activity_execution=True,
        ):
            yield


async def histories_of(client: Client, batch: str) -> list[WorkflowHistory]:
    """The history of each of the batch's runs, the last one first."""
    run_id = (await client.get_workflow_handle(batch).describe()).run_id
    found = []
    while run_id:
        found.append(await client.get_workflow_handle(batch, run_id=run_id).fetch_history())
        run_id = found[-1].events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return found


@pytest.mark.parametrize(("connections", "slices"), [(40, 125), (100, 50)])
async def test_a_million_recipients_deferred_twice_stay_far_below_the_limits_of_a_history(
    temporal_server: str, connections: int, slices: int
) -> None:
    """Also where slices are as large as they ever are: with 100 connections."""
    client = await connect(address=temporal_server)
    batch = queue = f"million-{connections}-{new_nonce()}"
    stand_in = StandIn(MILLION)
    request = BatchRequest(
        snapshot="s" * 64,
        message="m" * 64,
        options=BatchOptions(connections=connections, retry_delays=(SHORT, SHORT)),
    )
    async with stand_in.working(client, queue):
        handle = await client.start_workflow(
            "BatchEmailWorkflow", request, id=batch, task_queue=queue, result_type=BatchResult
        )
        await handle.result()
    histories = await histories_of(client, batch)
    events = [len(history.events) for history in histories]
    octets = [sum(event.ByteSize() for event in history.events) for history in histories]
    carried = [history.events[0].ByteSize() for history in histories]
    assert stand_in.files == 3 * slices
    assert stand_in.largest_input < 8_192
    assert len(histories) > 1, "it goes on in a new run"
    assert min(events[1:]) >= EARLY, "and only when the server suggests it"
    assert max(events) < EARLY + 100
    assert max(octets) < 1_300_000
    assert max(carried) < 285_000

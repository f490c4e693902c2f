"""What a batch's history tells of its attempts: how many were superseded, which rows a reset found open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from temporalio.client import Client

from batchmail.batch.ledger import ABSENT, Ledger
from batchmail.batch.tasks import Part
from batchmail.client import SLICE

_PATIENCE = timedelta(seconds=3)

Scheduled = tuple[str, str]
"""A run of the batch and an activity of it, by their ids."""


class Attempts(NamedTuple):
    """`superseded`: by activity, how many attempts ended without a result. `open_rows`: the rows of the list
    (from 1) that the given slices were to settle."""

    superseded: Counter[str]
    open_rows: Collection[int]


async def attempts(client: Client, batch: str, run: str, reset: Collection[Scheduled]) -> Attempts:
    """Those of the batch that began with this run; `reset`: the slices whose rows are wanted."""
    superseded: Counter[str] = Counter()
    rows: set[int] = set()
    while run:
        names: dict[int, str] = {}
        following = ""
        async for event in client.get_workflow_handle(batch, run_id=run).fetch_history_events():
            if event.HasField("activity_task_scheduled_event_attributes"):
                scheduled = event.activity_task_scheduled_event_attributes
                names[event.event_id] = scheduled.activity_type.name
                if (run, scheduled.activity_id) in reset:
                    (part,) = await client.data_converter.decode(scheduled.input.payloads, [Part])
                    rows |= _open_rows(part)
            elif event.HasField("activity_task_started_event_attributes"):
                started = event.activity_task_started_event_attributes
                superseded[names[started.scheduled_event_id]] += started.attempt - 1
            elif event.HasField("workflow_execution_continued_as_new_event_attributes"):
                continued = event.workflow_execution_continued_as_new_event_attributes
                following = continued.new_execution_run_id
        run = following
    return Attempts(superseded, rows)


async def slices_at_work(client: Client, batch: str) -> set[Scheduled]:
    """The slices that the batch has scheduled and that have not ended. Raises RPCError."""
    found = await client.get_workflow_handle(batch).describe(rpc_timeout=_PATIENCE)
    return {
        (found.run_id, one.activity_id)
        for one in found.raw_description.pending_activities
        if one.activity_type.name == SLICE
    }


def _open_rows(part: Part) -> set[int]:
    if part.ledger is None:
        return set(range(part.first, part.last + 1))
    states = Ledger.read(part.ledger).states
    return {part.first + place for place, state in enumerate(states) if state != ABSENT}

"""Batches that earlier versions began go on under this one: every recorded history replays.

A new history is recorded by tests/histories/record.py, which keeps the old ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from batchmail.batch.tasks import PartResult
from worker import WORKFLOW_RUNNER
from workflows.batch_email import BatchEmailWorkflow

HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("v*/*.json"))


async def replay(history: WorkflowHistory) -> None:
    """Replay it as the worker would. Raises NondeterminismError where the workflow does something else."""
    await Replayer(
        workflows=[BatchEmailWorkflow],
        workflow_runner=WORKFLOW_RUNNER,
        data_converter=pydantic_data_converter,
    ).replay_workflow(history)


def read(file: Path, edit: Callable[[str], str] = str) -> WorkflowHistory:
    """A recorded history, edited."""
    return WorkflowHistory.from_json(file.stem, edit(file.read_text()))


def activity(event: HistoryEvent) -> str:
    """The name of the activity that the event schedules."""
    return event.activity_task_scheduled_event_attributes.activity_type.name


def handed_back(event: HistoryEvent) -> bool:
    """Whether the event is the end of a slice that handed back."""
    payloads = event.activity_task_completed_event_attributes.result.payloads
    return any(
        b'"ended_because"' in payload.data and PartResult.model_validate_json(payload.data).pending
        for payload in payloads
    )


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
async def test_every_recorded_history_replays(file: Path) -> None:
    await replay(read(file))


@pytest.mark.parametrize(
    ("shape", "edit"),
    [
        ("straight", lambda text: text.replace('"write_report"', '"write_another_report"')),
        ("straight", lambda text: text.replace('"notify_admin"', '"write_report"')),
        ("deferred_and_handed_back", lambda text: without(text, "TIMER_STARTED")),
    ],
)
async def test_a_history_of_another_workflow_does_not_replay(shape: str, edit: Callable[[str], str]) -> None:
    with pytest.raises(NondeterminismError):
        await replay(read(newest(shape), edit))


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ("straight", lambda event: activity(event) == "notify_admin"),
        ("deferred_and_handed_back", lambda event: event.HasField("timer_fired_event_attributes")),
        ("deferred_and_handed_back", handed_back),
        (
            "cancelled",
            lambda event: event.HasField("workflow_execution_cancel_requested_event_attributes"),
        ),
        ("retried", lambda event: event.activity_task_started_event_attributes.attempt > 1),
        ("waiting", lambda event: event.HasField("workflow_execution_signaled_event_attributes")),
        ("by_location", lambda event: activity(event) == "snapshot_list"),
        ("refused", lambda event: event.HasField("workflow_execution_failed_event_attributes")),
    ],
)
def test_the_newest_history_of_each_shape_shows_what_it_is_there_for(
    shape: str, shown: Callable[[HistoryEvent], bool]
) -> None:
    assert any(shown(event) for event in read(newest(shape)).events)


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_no_recipient_and_no_text_of_the_message_is_in_a_history(file: Path) -> None:
    for event in read(file).events:
        said = event.SerializeToString()
        for private in (b"@example.com", b"Reader ", b"Dear ", b"News for"):
            assert private not in said, event


# How it is done


def without(text: str, kind: str) -> str:
    """The history without the first event of this kind."""
    history = json.loads(text)
    events = history["events"]
    events.remove(next(event for event in events if event["eventType"].endswith(kind)))
    for number, event in enumerate(events, start=1):
        event["eventId"] = str(number)
    return json.dumps(history)


def newest(shape: str) -> Path:
    """The newest history of this shape."""
    return max((file for file in HISTORIES if file.stem == shape), key=lambda file: int(file.parent.name[1:]))

"""Batches that earlier versions began go on under this one: every recorded history replays.

A new history is recorded by tests/histories/record.py, which keeps the old ones. `taken_over` is of a batch
that a worker from before pauses began; it ignored one, and was killed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

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

BEFORE_ORDERS = [file for file in HISTORIES if file.parent.name in ("v1", "v2", "v3")]
"""By workers that knew of no pause: they ignored it."""


def replayer() -> Replayer:
    """It replays as the worker does."""
    return Replayer(
        workflows=[BatchEmailWorkflow],
        workflow_runner=WORKFLOW_RUNNER,
        data_converter=pydantic_data_converter,
    )


async def replay(history: WorkflowHistory) -> None:
    """Replay it. Raises NondeterminismError where the workflow does something else."""
    await replayer().replay_workflow(history)


def read(file: Path, edit: Callable[[str], str] = str) -> WorkflowHistory:
    """A recorded history, edited, under its batch's own id: due times of deferred recipients hang on it."""
    text = file.read_text()
    began = json.loads(text)["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(began["workflowId"], edit(text))


def activity(event: HistoryEvent) -> str:
    """The name of the activity that the event schedules."""
    return event.activity_task_scheduled_event_attributes.activity_type.name


def marker(event: HistoryEvent) -> str:
    """The change of the workflow that the event marks as there."""
    details = event.marker_recorded_event_attributes.details
    return json.loads(details["patch-data"].payloads[0].data)["id"] if "patch-data" in details else ""


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


@pytest.mark.parametrize("file", BEFORE_ORDERS, ids=lambda file: f"{file.parent.name}/{file.stem}")
async def test_an_order_that_an_earlier_worker_ignored_stays_ignored_wherever_it_came(file: Path) -> None:
    """Workers are replaced under a batch, and an operator pauses it while an earlier one still has it."""
    text = file.read_text()
    everywhere = places(text)
    once = [ordered(text, ["pause"], [place]) for place in everywhere]
    often = [ordered(text, orders, everywhere) for orders in (["pause"], ["resume"], ["pause", "resume"])]
    assert await that_do_not_replay([*once, *often]) == []


@pytest.mark.parametrize(
    ("shape", "edit"),
    [
        ("straight", lambda text: text.replace('"write_report"', '"write_another_report"')),
        ("straight", lambda text: text.replace('"notify_admin"', '"write_report"')),
        ("deferred_and_handed_back", lambda text: without(text, "TIMER_STARTED")),
        ("straight", lambda text: without(text, "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES")),
    ],
)
async def test_a_history_of_another_workflow_does_not_replay(shape: str, edit: Callable[[str], str]) -> None:
    with pytest.raises(NondeterminismError):
        await replay(read(newest(shape), edit))


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ("straight", lambda event: activity(event) == "notify_admin"),
        (
            "straight",
            lambda event: event.HasField("upsert_workflow_search_attributes_event_attributes"),
        ),
        ("deferred_and_handed_back", lambda event: event.HasField("timer_fired_event_attributes")),
        ("deferred_and_handed_back", handed_back),
        (
            "cancelled",
            lambda event: event.HasField("workflow_execution_cancel_requested_event_attributes"),
        ),
        ("retried", lambda event: event.activity_task_started_event_attributes.attempt > 1),
        ("waiting", lambda event: event.HasField("workflow_execution_signaled_event_attributes")),
        ("paused", lambda event: event.workflow_execution_signaled_event_attributes.signal_name == "pause"),
        ("paused", lambda event: event.HasField("timer_canceled_event_attributes")),
        ("asked", lambda event: marker(event) == "brake"),
        ("asked", lambda event: event.workflow_execution_signaled_event_attributes.signal_name == "resume"),
        ("taken_over", lambda event: marker(event) == "order-2"),
        ("told", lambda event: marker(event) == "troubles"),
        ("told", lambda event: activity(event) == "notify_admin"),
        ("one_knows", lambda event: marker(event) == "one-knows"),
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


def places(text: str) -> list[int]:
    """Before which events (by number) a signal can come: not within a task, nor between it and its commands.

    Where an activity starts is no place of its own: a workflow is not told of that.
    """
    events = json.loads(text)["events"]
    return [
        number
        for number, (before, after) in enumerate(pairwise(events), start=2)
        if not before["eventType"].endswith("WORKFLOW_TASK_STARTED")
        and not after["eventType"].endswith("ACTIVITY_TASK_STARTED")
        and not any("workflowTaskCompletedEventId" in said for said in after.values() if type(said) is dict)
    ]


def ordered(text: str, orders: Sequence[str], at: Sequence[int]) -> str:
    """The history with these signals before each of these events, by a worker that ignores them.

    Where no task was waiting to be started, the server had one for them, and nothing came of it.
    """
    events: list[dict[str, Any]] = []
    numbers: dict[str, str] = {}
    is_waiting = False
    for event in json.loads(text)["events"]:
        kind = event["eventType"]
        if int(event["eventId"]) in at:
            events += [_event("SIGNALED", signalName=order) for order in orders]
            if not is_waiting and not kind.endswith("WORKFLOW_TASK_SCHEDULED"):
                task = len(events) + 1
                events += [
                    _event("TASK_SCHEDULED"),
                    _event("TASK_STARTED", scheduledEventId=task),
                    _event("TASK_COMPLETED", scheduledEventId=task, startedEventId=task + 1),
                ]
        if kind.endswith(("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED")):
            is_waiting = kind.endswith("SCHEDULED")
        numbers[event["eventId"]] = str(len(events) + 1)
        events.append(_renumbered(event, numbers))
    for number, event in enumerate(events, start=1):
        event["eventId"] = str(number)
        event.setdefault("eventTime", events[number - 2]["eventTime"])
    return json.dumps({"events": events})


def _event(kind: str, **said: object) -> dict[str, Any]:
    words = ("workflow_" + ("execution_" if kind == "SIGNALED" else "") + kind.lower()).split("_")
    name = words[0] + "".join(word.capitalize() for word in words[1:]) + "EventAttributes"
    return {"eventType": "EVENT_TYPE_" + "_".join(words).upper(), name: said}


def _renumbered(part: Any, numbers: dict[str, str]) -> Any:
    """Its references to earlier events follow these to their new numbers."""
    if isinstance(part, dict):
        return {
            name: numbers.get(value, value) if name.endswith("EventId") else _renumbered(value, numbers)
            for name, value in part.items()
        }
    return [_renumbered(one, numbers) for one in part] if isinstance(part, list) else part


async def that_do_not_replay(texts: Sequence[str]) -> list[str]:
    """Why these histories do not replay; a line each."""
    began = json.loads(texts[0])["events"][0]["workflowExecutionStartedEventAttributes"]

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for text in texts:
            yield WorkflowHistory.from_json(began["workflowId"], text)

    found = []
    async with replayer().workflow_replay_iterator(histories()) as results:
        async for result in results:
            if result.replay_failure is not None:
                found.append(str(result.replay_failure))
    return found


def newest(shape: str) -> Path:
    """The newest history of this shape."""
    return max((file for file in HISTORIES if file.stem == shape), key=lambda file: int(file.parent.name[1:]))

"""Temporal's servers as this program starts them: how soon they notice who is gone."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

from temporalio.api.command.v1 import Command, ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import ActivityType
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client, WorkflowHandle

from batchmail.engine.connect import connect

SLICES = 2
TRIES = 4
HEARTBEAT_TIMEOUT = timedelta(seconds=1)
SHIFT_UNLESS_TOLD_OTHERWISE = 1.0
POLL_UNLESS_TOLD_OTHERWISE = timedelta(seconds=60)


async def test_all_slices_of_a_dead_worker_are_given_up_together(temporal_server: str) -> None:
    """Tried again where it seems otherwise: the shift is there each time, a disk that stalls is not."""
    client = await connect(address=temporal_server)
    apart: list[float] = []
    while not apart or (apart[-1] >= 0.7 * SHIFT_UNLESS_TOLD_OTHERWISE and len(apart) < TRIES):
        queue = f"q-{uuid.uuid4()}"
        batch = await client.start_workflow("AnyBatch", id=f"b-{uuid.uuid4()}", task_queue=queue)
        await _schedule(client, queue)
        for _ in range(SLICES):
            await _begin_and_die(client, queue)
        given_up = await _given_up(batch)
        apart.append(max(given_up) - min(given_up))
        await batch.terminate()
    assert min(apart) < 0.7 * SHIFT_UNLESS_TOLD_OTHERWISE, apart


async def test_a_poll_that_finds_nothing_ends_long_before_a_minute(temporal_server: str) -> None:
    """Else one that is lost, or a frozen worker's, would hold tasks up for so long."""
    client = await connect(address=temporal_server)
    queue = TaskQueue(name=f"q-{uuid.uuid4()}")
    workflow_tasks = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=queue)
    slices = PollActivityTaskQueueRequest(namespace=client.namespace, task_queue=queue)
    # The server answers a caller of less patience before the time.
    patience = 2 * POLL_UNLESS_TOLD_OTHERWISE
    async with asyncio.timeout(POLL_UNLESS_TOLD_OTHERWISE.total_seconds() / 2):
        task, slice_ = await asyncio.gather(
            client.workflow_service.poll_workflow_task_queue(workflow_tasks, timeout=patience),
            client.workflow_service.poll_activity_task_queue(slices, timeout=patience),
        )
    assert not task.task_token
    assert not slice_.task_token


async def _schedule(client: Client, queue: str) -> None:
    """Answer the workflow's first task, by commands for all slices."""
    task_queue = TaskQueue(name=queue)
    task = await client.workflow_service.poll_workflow_task_queue(
        PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=task_queue)
    )
    answer = RespondWorkflowTaskCompletedRequest(namespace=client.namespace, task_token=task.task_token)
    for number in range(SLICES):
        slice_ = ScheduleActivityTaskCommandAttributes(
            activity_id=str(number), activity_type=ActivityType(name="any_slice"), task_queue=task_queue
        )
        slice_.start_to_close_timeout.FromTimedelta(timedelta(hours=1))
        slice_.heartbeat_timeout.FromTimedelta(HEARTBEAT_TIMEOUT)
        slice_.retry_policy.maximum_attempts = 1
        answer.commands.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
                schedule_activity_task_command_attributes=slice_,
            )
        )
    await client.workflow_service.respond_workflow_task_completed(answer)


async def _begin_and_die(client: Client, queue: str) -> None:
    """Take a slice, and never say a word of it."""
    request = PollActivityTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue))
    assert (await client.workflow_service.poll_activity_task_queue(request)).task_token


async def _given_up(batch: WorkflowHandle[object, object]) -> list[float]:
    """Seconds after which the server gave up each slice: all of them, however long that takes."""
    begun: dict[int, int] = {}
    times: list[float] = []
    async for event in batch.fetch_history_events(wait_new_event=True):
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            begun[event.event_id] = event.event_time.ToNanoseconds()
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
            since = begun[event.activity_task_timed_out_event_attributes.started_event_id]
            times.append((event.event_time.ToNanoseconds() - since) / 1e9)
        if len(times) == SLICES:
            break
    return times

"""What a slice asks its batch while that is at work: it is answered soon after, beside others that ask."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    QueryWorkflowRequest,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.dialogue import Dialogue
from batchmail.batch.progress import Control
from batchmail.engine.connect import connect

SLICES = 5
AT_WORK, SOON = 8.0, 5.0
"""Seconds. Temporal's own client would try again 1, 3, 7 and 15 s after the first refusal."""


@workflow.defn
class AnyBatch:
    """A batch as its slices see it."""

    @workflow.run
    async def run(self) -> None:
        """For ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def control(self, slice_range: str) -> Control:
        """What the batch wants of the slice."""
        return Control(opens_connections=slice_range == "1")


async def test_slices_that_ask_a_batch_at_work_are_answered_once_it_has_done(temporal_server: str) -> None:
    """Meanwhile the server keeps one question and refuses the others, as it does at a takeover."""
    client = await connect(address=temporal_server)
    queue = f"q-{uuid.uuid4()}"
    batch = await client.start_workflow(
        AnyBatch.run, id=f"b-{uuid.uuid4()}", task_queue=queue, task_timeout=timedelta(minutes=2)
    )
    task = await client.workflow_service.poll_workflow_task_queue(
        PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue))
    )
    answered: dict[str, Control] = {}
    async with (
        Worker(client, task_queue=queue, workflows=[AnyBatch], workflow_runner=UnsandboxedWorkflowRunner()),
        asyncio.timeout(60),
    ):
        asking = [_asking(client, batch, str(number), answered) for number in range(SLICES)]
        await _are_refused(client, batch)
        await asyncio.sleep(AT_WORK)
        assert not answered
        await client.workflow_service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(namespace=client.namespace, task_token=task.task_token)
        )
        done = time.monotonic()
        while len(answered) < SLICES:  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.01)
        took = time.monotonic() - done
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    await batch.terminate()
    assert [key for key, control in answered.items() if control.opens_connections] == ["1"]
    assert took < SOON


def _asking(
    client: Client, batch: WorkflowHandle[AnyBatch, None], key: str, answered: dict[str, Control]
) -> asyncio.Task[None]:
    """A slice that asks its batch, and notes the answer."""
    slice_ = ActivityEnvironment()
    slice_.info = replace(slice_.info, workflow_id=batch.id, workflow_run_id=batch.first_execution_run_id)

    async def ask() -> None:
        def heed(control: Control) -> None:
            answered[key] = control

        await Dialogue(client, key, heed, waited=False).ask()

    return asyncio.create_task(slice_.run(ask))


async def _are_refused(client: Client, batch: WorkflowHandle[AnyBatch, None]) -> None:
    """Until the server takes no further question to this batch."""
    question = QueryWorkflowRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=batch.id),
        query=WorkflowQuery(query_type="control"),
    )
    while True:
        try:
            await client.workflow_service.query_workflow(question, timeout=timedelta(seconds=1))
        except RPCError as error:
            if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
                return

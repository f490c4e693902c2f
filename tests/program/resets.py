"""An operator's Reset, as the Web UI's button and `temporal workflow reset` do it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from batchmail.batch.result import BatchResult
from tests.program.bench import Bench, Handle

WhichTask = Callable[[list[int]], int]
"""Picks one of the batch's completed workflow tasks, which are given by the numbers of their events."""


async def reset(bench: Bench, batch: str, which: WhichTask) -> Handle:
    """Reset the batch to a workflow task that is completed; the new run."""
    tasks = [
        event.event_id
        async for event in bench.client.get_workflow_handle(batch).fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    answer = await bench.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=bench.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=batch),
            reason="by hand",
            workflow_task_finish_event_id=which(tasks),
            request_id=str(uuid.uuid4()),
        )
    )
    return bench.client.get_workflow_handle(batch, run_id=answer.run_id, result_type=BatchResult)

"""New code under running batches: they move from one build of the worker to the next, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import replace
from typing import NamedTuple

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import RoutingConfigUpdateState, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    DescribeWorkflowExecutionRequest,
)

from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import Settings
from tests.program.bench import Bench, Handle, WorkerProcess
from tests.relays import Behaviour, Fault

HOLD = Fault(stage="recorded", do="hold", match="reader-3@")

pytestmark = pytest.mark.behaviour(Behaviour(faults=(HOLD,)))
"""The first slice stays under way until the relay is told to release it."""


class Deployment(NamedTuple):
    """The builds of one worker deployment."""

    bench: Bench

    @property
    def name(self) -> str:
        return f"batchmail-{self.bench.folder.name}"

    async def worker(self, build: str) -> WorkerProcess:
        """Start a worker of this build."""
        return await self.bench.worker(BATCH_DEPLOYMENT=self.name, BATCH_BUILD_ID=build)

    async def make_current(self, build: str) -> None:
        """As docs/deploy.md says, until the server routes to it everywhere.

        The server knows a build a moment after its worker serves, and its task queues know the current one a
        moment after the order.
        """
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(self._set_current, build):
                pass
            while not await self._is_routed_everywhere():  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0.05)

    def _set_current(self, build: str) -> bool:
        temporal = find_temporal(Settings().batch_temporal_cli, print)
        command = [str(temporal), "worker", "deployment", "set-current-version", "--yes"]
        names = ["--deployment-name", self.name, "--build-id", build]
        environment = os.environ | {"TEMPORAL_ADDRESS": self.bench.environment["TEMPORAL_ADDRESS"]}
        return subprocess.run([*command, *names], env=environment, capture_output=True).returncode == 0

    async def _is_routed_everywhere(self) -> bool:
        described = await self.bench.client.workflow_service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(namespace=self.bench.client.namespace, deployment_name=self.name)
        )
        state = described.worker_deployment_info.routing_config_update_state
        return state != RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS


@pytest.fixture
def deployment(bench: Bench) -> Deployment:
    """A deployment that no other test has."""
    return Deployment(bench)


async def under_way(bench: Bench) -> Handle:
    """A batch of ten slices, one after the other, that is held in the first."""
    handle = await bench.start(40, connections=1, slice_size=4)
    await bench.relay.wait_for(lambda event: event.event == "recorded" and "reader-3@" in event.address)
    return handle


async def build_of(bench: Bench, handle: Handle) -> str:
    """The build that the batch's workflow is on."""
    described = await bench.client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(
            namespace=bench.client.namespace, execution=WorkflowExecution(workflow_id=handle.id)
        )
    )
    return described.workflow_execution_info.versioning_info.deployment_version.build_id


async def who_began(handle: Handle, activity: str) -> list[int]:
    """The pids of the workers that had the batch's activities of this kind, in order."""
    history = await handle.fetch_history()
    scheduled = {
        event.event_id
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    }
    started = [event.activity_task_started_event_attributes for event in history.events]
    return [int(one.identity.partition("@")[0]) for one in started if one.scheduled_event_id in scheduled]


async def test_a_running_batch_moves_to_the_build_that_is_made_current(
    bench: Bench, deployment: Deployment
) -> None:
    old = await deployment.worker("1")
    await deployment.make_current("1")
    handle = await under_way(bench)
    assert await build_of(bench, handle) == "1"
    new = await deployment.worker("2")
    await deployment.make_current("2")
    bench.relay.release()
    bench.assert_everyone_once(await handle.result())
    assert await build_of(bench, handle) == "2"
    assert await who_began(handle, "send_slice") == [old.pid, *[new.pid] * 9]


async def test_a_build_that_is_stopped_hands_its_slices_to_the_current_one(
    bench: Bench, deployment: Deployment
) -> None:
    old = await deployment.worker("1")
    await deployment.make_current("1")
    handle = await under_way(bench)
    await deployment.worker("2")
    await deployment.make_current("2")
    old.signal(signal.SIGTERM)
    bench.relay.release()
    assert await old.ended() == 0
    bench.assert_everyone_once(await handle.result())
    assert await build_of(bench, handle) == "2"


async def test_making_the_old_build_current_again_takes_a_batch_back(
    bench: Bench, deployment: Deployment
) -> None:
    old = await deployment.worker("1")
    new = await deployment.worker("2")
    await deployment.make_current("2")
    handle = await under_way(bench)
    assert await build_of(bench, handle) == "2"
    await deployment.make_current("1")
    bench.relay.release()
    bench.assert_everyone_once(await handle.result())
    assert await build_of(bench, handle) == "1"
    assert await who_began(handle, "send_slice") == [new.pid, *[old.pid] * 9]


async def test_a_batch_begun_by_a_worker_without_a_build_moves_to_the_first_that_has_one(
    bench: Bench, deployment: Deployment
) -> None:
    old = await bench.worker()
    handle = await under_way(bench)
    new = await deployment.worker("1")
    await deployment.make_current("1")
    bench.relay.release()
    bench.assert_everyone_once(await handle.result())
    assert await build_of(bench, handle) == "1"
    assert await who_began(handle, "send_slice") == [old.pid, *[new.pid] * 9]


async def test_slices_that_no_worker_carries_wait_where_autoscalers_count_them(bench: Bench) -> None:
    """What KEDA's scaler for Temporal asks: deploy/kubernetes/autoscaling-keda/."""
    bench.relay.behave(Behaviour(faults=(replace(HOLD, match=""),)))  # in whichever order they come
    await bench.worker(BATCH_SLICES="1")
    handle = await bench.start(8, connections=8, slice_size=1)
    async with asyncio.timeout(90):
        while not await backlog(bench):  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.1)
    bench.relay.release()
    bench.assert_everyone_once(await handle.result())


async def backlog(bench: Bench) -> int:
    """How many slices wait for a worker."""
    described = await bench.client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=bench.client.namespace,
            task_queue=TaskQueue(name=bench.queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
    )
    return described.stats.approximate_backlog_count

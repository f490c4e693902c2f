"""The production stack without containers: it comes up, keeps its data, recovers, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from batchmail.engine.connect import connect
from batchmail.errors import EngineError
from batchmail.settings import CHECKOUT
from scripts.server import Stack
from tests.processes import processes_with
from tests.stacks import MakeStack, begin_from


async def retention(stack: Stack) -> timedelta:
    """How long the stack's namespace keeps what has ended."""
    client = await Client.connect(stack.address, namespace=stack.namespace)
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=stack.namespace)
    )
    kept: Duration = described.config.workflow_execution_retention_ttl
    return kept.ToTimedelta()


async def note(stack: Stack, workflow_id: str) -> None:
    """Put something into Temporal's database: a workflow that nobody serves."""
    client = await connect(address=stack.address)
    await client.start_workflow("Nobody", id=workflow_id, task_queue="nobody")


async def has(stack: Stack, workflow_id: str) -> bool:
    """Whether the workflow is there and runs."""
    client = await connect(address=stack.address)
    described = await client.get_workflow_handle(workflow_id).describe()
    return described.status is not None and described.status.name == "RUNNING"


async def test_the_namespace_keeps_finished_batches_for_three_days_unless_told_otherwise(
    stack: Stack,
) -> None:
    assert await retention(stack) == timedelta(days=3)


def test_the_schema_of_both_databases_is_there(stack: Stack) -> None:
    for database in ("temporal", "temporal_visibility"):
        version = stack.postgres.query(database, "SELECT curr_version FROM schema_version")
        assert float(version) > 1.0


def test_a_commit_waits_for_the_disk(stack: Stack) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert stack.postgres.query("temporal", f"SHOW {setting}").strip() == "on"


def test_the_web_ui_shows_the_namespace(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.ui_url}/api/v1/namespaces/default") as answer:
        assert json.load(answer)["namespaceInfo"]["name"] == "default"


def test_a_dump_has_a_line_for_each_row(stack: Stack) -> None:
    dumped = stack.postgres.dump("temporal")
    assert b"INSERT INTO public.namespaces" in dumped


async def test_data_and_ports_are_kept_over_a_restart_and_retention_is_changed(make_stack: MakeStack) -> None:
    first = make_stack()
    await note(first, "kept")
    first.stop()
    second = make_stack(retention=timedelta(hours=5))
    assert second.address == first.address
    assert await has(second, "kept")
    assert await retention(second) == timedelta(hours=5)


async def test_after_kill_9_of_everything_the_same_stack_goes_on(own_stack: Stack) -> None:
    await note(own_stack, "kept")
    own_stack.kill_all()
    assert not own_stack.postgres.process.is_running
    assert not own_stack.temporal.process.is_running
    own_stack.postgres.start()
    own_stack.temporal.start()
    own_stack.temporal.wait_ready()
    assert await has(own_stack, "kept")


def test_a_second_one_on_the_same_folder_is_refused(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"already .process .*{stack.address}.*: use it, or end it first"):
        stack.start()


class Server:
    """`python -m scripts.server` in a process of its own; what it starts is known by a mark."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.mark = folder, f"SERVER_OF={folder}"
        name, value = self.mark.split("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.server", "--folder", folder, "--any-ports"],
            cwd=CHECKOUT,
            env={**os.environ, name: value, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self) -> str:
        """What it says when it is up."""
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        return "".join(lines)

    def comes_to(self, processes: int) -> bool:
        """Whether so many of its run are there, in the end: a child of Postgres's is named when just born."""
        until = time.monotonic() + 30
        while self.started() != processes and time.monotonic() < until:
            time.sleep(0.05)
        return self.started() == processes

    def started(self) -> int:
        """How many processes of its run, itself included; Postgres's children go unnamed."""
        return len(processes_with(self.mark))


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path, fresh_data: Path) -> Iterator[StartServer]:
    """Starts servers with an environment of their own, and sees that they end."""
    started: list[Server] = []
    begin_from(fresh_data, tmp_path / "server")

    def start(**environment: str) -> Server:
        started.append(Server(tmp_path / "server", **environment))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        each.process.wait(60)


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server of the test's own."""
    return start_server()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_it_and_leaves_nothing_running(server: Server, number: signal.Signals) -> None:
    told = server.told()
    assert "TEMPORAL_ADDRESS=127.0.0.1:" in told
    assert "http://127.0.0.1:" in told
    assert server.comes_to(4)
    server.process.send_signal(number)
    assert server.process.wait(60) == 0
    assert server.started() == 0
    assert "database system is shut down" in (server.folder / "postgres.log").read_text()


async def test_what_a_killed_one_left_running_is_ended_by_the_next_which_has_its_data(
    server: Server, make_stack: MakeStack
) -> None:
    server.told()
    await note(Stack(server.folder), "kept")
    server.process.kill()
    server.process.wait()
    assert server.comes_to(3)
    following = make_stack(server.folder.name)
    assert server.started() == 0
    assert await has(following, "kept")


async def test_what_docker_compose_takes_from_the_environment_counts_here_too(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "mailings")
    server = start_server(TEMPORAL_RETENTION="36h")
    assert "TEMPORAL_NAMESPACE=mailings" in server.told()
    described = Stack(server.folder, variables=os.environ)
    assert await retention(described) == timedelta(hours=36)


def test_a_retention_that_is_none_is_told_and_nothing_is_left_running(start_server: StartServer) -> None:
    server = start_server(TEMPORAL_RETENTION="soon")
    _, told = server.process.communicate(timeout=60)
    assert server.process.returncode == 3
    assert "namespace.sh failed" in told
    assert "soon" in told
    assert server.started() == 0


def test_a_port_that_is_none_is_told(start_server: StartServer) -> None:
    server = start_server(TEMPORAL_UI_PORT="http")
    _, told = server.process.communicate(timeout=60)
    assert server.process.returncode == 2
    assert told == "error: TEMPORAL_UI_PORT: 'http' is no port: give a number from 1 to 65535.\n"


def test_it_ends_and_says_so_when_one_of_its_servers_dies(server: Server) -> None:
    server.told()
    Stack(server.folder).temporal.process.kill()
    _, told = server.process.communicate(timeout=60)
    assert server.process.returncode == 3
    assert "temporal has ended" in told
    assert server.started() == 0


async def test_calls_to_the_database_fail_as_often_as_told(make_stack: MakeStack) -> None:
    failing = make_stack(faults={"ExecutionStore": {"CreateWorkflowExecution": {"Timeout": 1.0}}})
    with pytest.raises(RPCError, match="fault injection"):
        await note(failing, "never")

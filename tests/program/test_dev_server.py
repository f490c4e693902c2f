"""The embedded development server: shared by its users, stopped by the last one, never doubled."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest

from batchmail.engine import dev_server as module
from batchmail.engine.connect import connect
from batchmail.engine.dev_server import DevServer, dev_server
from batchmail.engine.ports import LOOPBACK, any_free
from batchmail.engine.server_process import ServerFiles, is_running, read
from batchmail.errors import EngineError
from batchmail.settings import CHECKOUT, Settings

CLI = Settings().batch_temporal_cli

USER = """
import asyncio, sys
from pathlib import Path
from batchmail.engine.dev_server import dev_server
from batchmail.engine.ports import Ports
from batchmail.settings import Settings

async def use():
    print("begun", flush=True)
    async with dev_server(Path(sys.argv[1]), print, cli=Settings().batch_temporal_cli) as running:
        print(running.address, flush=True)
        await asyncio.Event().wait()

asyncio.run(use())
"""


@contextmanager
def user_process(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until it is ended; it has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(state)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def address_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return next(line.strip() for line in process.stdout if line.startswith(LOOPBACK))


def server(state: Path) -> DevServer:
    return DevServer(state, print, cli=CLI, usual=any_free())


def pid_of(state: Path) -> int:
    living = read(ServerFiles(state))
    assert living
    return living.pid


def runs(state: Path) -> bool:
    return is_running(ServerFiles(state))


def wait_until_gone(state: Path) -> None:
    """Wait for the lock that the server's death releases."""
    with ServerFiles(state).record.open("rb") as record:
        fcntl.flock(record, fcntl.LOCK_EX)


def test_a_second_user_finds_the_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    first, second = server(tmp_path), server(tmp_path)
    running = first.enter()
    pid = pid_of(tmp_path)
    assert second.enter() == running
    assert pid_of(tmp_path) == pid
    first.leave()
    assert runs(tmp_path)
    second.leave()
    assert not runs(tmp_path)
    assert not ServerFiles(tmp_path).record.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_users_that_come_at_once_share_one_server(tmp_path: Path) -> None:
    users = [server(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda user: user.enter(), users))) == 1
        list(pool.map(lambda user: user.leave(), users))
    assert not runs(tmp_path)


async def test_a_server_whose_starter_was_killed_is_found_again_with_its_workflows(tmp_path: Path) -> None:
    with user_process(tmp_path) as starter:
        address = await asyncio.to_thread(address_from, starter)
        client = await connect(address=address)
        await client.start_workflow("Any", id="kept", task_queue="nobody")
        starter.kill()
        starter.wait()
    pid = pid_of(tmp_path)
    async with dev_server(tmp_path, print, cli=CLI) as running:
        assert running.address == address
        assert pid_of(tmp_path) == pid
    assert not runs(tmp_path)
    async with dev_server(tmp_path, print, cli=CLI) as running:
        client = await connect(address=running.address)
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"


async def test_a_server_that_was_killed_is_started_again_at_its_ports_with_its_workflows(
    tmp_path: Path,
) -> None:
    with ExitStack() as users:
        first = users.enter_context(server(tmp_path))
        client = await connect(address=first.address)
        await client.start_workflow("Any", id="kept", task_queue="nobody")
        os.kill(pid_of(tmp_path), signal.SIGKILL)
        wait_until_gone(tmp_path)
        second = users.enter_context(server(tmp_path))
        assert second == first
        client = await connect(address=second.address)
        assert (await client.get_workflow_handle("kept").describe()).id == "kept"


def test_taken_ports_are_left_alone(tmp_path: Path) -> None:
    usual = any_free()
    with (
        socket.create_server((LOOPBACK, usual.temporal)),
        DevServer(tmp_path, print, cli=CLI, usual=usual) as running,
    ):
        assert running.ports.temporal != usual.temporal
        assert running.ui_url == f"http://127.0.0.1:{running.ports.ui}"
        assert running.workflow_url("a/b c") == f"{running.ui_url}/namespaces/default/workflows/a%2Fb%20c"


def test_a_port_lost_to_a_quicker_program_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, free = any_free(), any_free()
    monkeypatch.setattr(module, "candidates", lambda *_: iter([lost, free]))
    with socket.create_server((LOOPBACK, lost.temporal)), server(tmp_path) as running:
        assert running.ports == free


def test_a_port_lost_to_another_temporal_server_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(tmp_path / "theirs") as theirs:
        monkeypatch.setattr(module, "candidates", lambda *_: iter([theirs.ports, any_free()]))
        with server(tmp_path / "ours") as ours:
            assert ours.ports != theirs.ports


def test_a_stale_record_harms_nobody(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        record = {"pid": stranger.pid, "port": any_free().temporal, "ui_port": any_free().ui}
        ServerFiles(tmp_path).record.write_text(json.dumps(record))
        with server(tmp_path):
            assert pid_of(tmp_path) != stranger.pid
        assert not runs(tmp_path)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_does_not_answer_is_replaced_at_the_same_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWER", 0.5)
    monkeypatch.setattr(module, "_STOP", 5.0)
    said: list[str] = []
    with ExitStack() as users:
        first = users.enter_context(server(tmp_path))
        frozen = pid_of(tmp_path)
        os.kill(frozen, signal.SIGSTOP)
        second = users.enter_context(DevServer(tmp_path, said.append, cli=CLI))
        monkeypatch.setattr(module, "_STOP", 15.0)
        assert second == first
        assert pid_of(tmp_path) != frozen
    assert f"The Temporal server (pid {frozen}) does not answer: it is replaced." in said
    assert not runs(tmp_path)


def test_ctrl_c_stops_the_server(tmp_path: Path) -> None:
    with user_process(tmp_path) as user:
        address_from(user)
        user.send_signal(signal.SIGINT)
        user.wait(60)
    assert not runs(tmp_path)


def test_ctrl_c_while_the_server_starts_leaves_none(tmp_path: Path) -> None:
    with user_process(tmp_path) as user:
        while not runs(tmp_path):
            assert user.poll() is None
        user.send_signal(signal.SIGINT)
        user.wait(60)
    assert not runs(tmp_path)


def test_a_server_that_does_not_come_up_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "temporal.db").mkdir()
    with pytest.raises(EngineError, match=r"did not come up: see .*temporal\.log, which ends with '.+'\.$"):
        server(tmp_path).enter()
    assert not runs(tmp_path)


def test_a_state_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"^The state folder .*file cannot be used"):
        server(tmp_path / "file").enter()


async def test_the_server_is_not_rate_limited(temporal_server: str) -> None:
    """Listing is where the usual limit is lowest: a hundred calls a second."""
    client = await connect(address=temporal_server)
    request = ListWorkflowExecutionsRequest(namespace="default", page_size=1)  # others' batches may be many
    patience = timedelta(minutes=1)
    lists = (
        client.workflow_service.list_workflow_executions(request, retry=False, timeout=patience)
        for _ in range(300)
    )
    await asyncio.gather(*lists)


async def test_a_user_cancelled_while_another_starts_the_server_does_not_wait_for_it(tmp_path: Path) -> None:
    async def use() -> None:
        async with dev_server(tmp_path, print, cli=CLI):
            pass

    with server(tmp_path)._start_lock(5):
        using = asyncio.create_task(use())
        await asyncio.sleep(0)  # it has begun
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(using, 30)

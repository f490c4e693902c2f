"""worker.py as its users run it: what it refuses, what it logs, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError

from batchmail.engine.ports import any_free
from tests.program.bench import CHECKOUT, DEATHS_NOTICED, Bench, WorkerProcess
from tests.relays import Behaviour, Fault

RELAY = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "9"}
A_LINE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S* +[A-Z]+ \S+: \S.*")


def ended(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A worker that ends by itself."""
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "worker.py"), *arguments],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_says_what_it_does(tmp_path: Path) -> None:
    said = ended(tmp_path, "--help")
    assert said.returncode == 0
    assert "until SIGTERM or SIGINT" in said.stdout
    assert said.stderr == ""


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "many"}, "SMTP_PORT: 'many'"),
        ({"SMTP_HOST": "127.0.0.1", "SMTP_TLS": "ssl"}, "SMTP_TLS: 'ssl'"),
        ({"TEMPORAL_ADDRESS": "http://temporal:7233"} | RELAY, "TEMPORAL_ADDRESS: 'http://temporal:7233'"),
        ({}, "SMTP_HOST is not set"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    said = ended(tmp_path, **settings)
    assert said.returncode == 2, said
    assert re.fullmatch(rf"error: {re.escape(told)}.*\.\n", said.stderr), said
    assert said.stdout == ""


def test_no_temporal_server_is_one_line_that_names_the_address(tmp_path: Path) -> None:
    address = f"127.0.0.1:{any_free().temporal}"
    said = ended(tmp_path, TEMPORAL_ADDRESS=address, **RELAY)
    assert said.returncode == 3, said
    assert re.fullmatch(
        rf"error: No Temporal server answers at {re.escape(address)}: .*--dev.*\.\n", said.stderr
    ), said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_worker_that_is_still_connecting(
    tmp_path: Path, number: signal.Signals
) -> None:
    connecting = asyncio.Event()
    open_now: list[asyncio.StreamWriter] = []

    def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.append(writer)
        connecting.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    worker = WorkerProcess(RELAY | {"TEMPORAL_ADDRESS": address}, tmp_path / "worker.log")
    try:
        await asyncio.wait_for(connecting.wait(), 60)
        worker.signal(number)
        assert await worker.ended() == 0
        assert worker.log() == "", "the connection attempt was not given up before: that would be told"
    finally:
        worker.stop()
        server.close()
        for writer in open_now:
            writer.transport.abort()
        await server.wait_closed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_worker_in_order(bench: Bench, number: signal.Signals) -> None:
    worker = await bench.worker()
    worker.signal(number)
    assert await worker.ended() == 0
    said = [line.partition(" worker: ")[2] for line in worker.log().splitlines() if " worker: " in line]
    assert said[1] == "stopping: slices hand back"
    assert said[-1] == "stopped"


async def test_sigint_ends_a_busy_worker_in_order(bench: Bench) -> None:
    first = await bench.worker()
    handle = await bench.start(2_000, connections=5, slice_size=1_000)
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=300)
    first.signal(signal.SIGINT)
    assert await first.ended() == 0
    await bench.worker()
    result = await handle.result()
    assert result.sent == 2_000
    assert {row.in_doubt for row in bench.assert_the_promise(result)} == {"no"}


def test_in_json_the_refusal_of_a_setting_is_an_object_too(tmp_path: Path) -> None:
    said = ended(tmp_path, "--log-format", "json", SMTP_HOST="127.0.0.1", SMTP_TLS="ssl")
    assert said.returncode == 2, said
    (line,) = said.stderr.splitlines()
    assert json.loads(line)["message"].startswith("SMTP_TLS: 'ssl' cannot be used")


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="mail", reply="530 5.7.0 who are you", times=3),)))
async def test_in_json_each_line_is_an_object_that_says_batch_and_slice(bench: Bench) -> None:
    worker = await bench.worker(arguments="--log-format json")
    handle = await bench.start(4, connections=1, slice_size=2, batch=f"logged-{bench.folder.name}")
    await handle.result()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    lines = [json.loads(line) for line in worker.log().splitlines()]
    assert [line["message"] for line in lines if line["logger"] == "worker"][1:] == [
        "stopping: slices hand back",
        "stopped",
    ]
    waits = next(line for line in lines if " waits: " in line["message"])
    assert waits["batch"] == handle.id
    assert waits["slice"] in ("1-2", "3-4")
    assert (waits["activity"], waits["attempt"], waits["level"]) == ("send_slice", 1, "WARNING")
    assert waits["run_id"] == handle.first_execution_run_id


@pytest.mark.behaviour(
    Behaviour(
        faults=(
            Fault(stage="rcpt", reply="550 5.1.1 <reader-1@example.com>: no such user", match="reader-1@"),
            Fault(stage="rcpt", reply="452 4.2.2 <reader-2@example.com> is full", match="reader-2@"),
            Fault(stage="recorded", do="drop", match="reader-3@", times=1),
            Fault(stage="rcpt", do="drop", match="reader-4@", times=1),
        )
    )
)
async def test_the_log_is_a_line_an_event_and_names_nobody(bench: Bench) -> None:
    victim = await bench.worker(arm="body_sent:5=kill")
    handle = await bench.start(
        20,
        connections=3,
        slice_size=20,
        heartbeat_timeout=DEATHS_NOTICED,
        retry_delays=(timedelta(seconds=0.2),),
        admins=("admin@example.com",),
    )
    assert await victim.ended() == -signal.SIGKILL
    worker = await bench.worker()
    await handle.result()
    missing = await bench.start_at(bench.folder / "none.csv")
    with pytest.raises(WorkflowFailureError):
        await missing.result()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    for log in (victim.log(), worker.log()):
        assert "@" not in log
        for line in log.splitlines():
            assert A_LINE.fullmatch(line), line

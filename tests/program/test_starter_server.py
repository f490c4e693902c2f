"""starter.py beside a Temporal server and workers of the user's own: start, leave, attach, go on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from batchmail.client import attach, find
from batchmail.engine import server_process
from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.engine.server_process import ServerFiles
from batchmail.errors import EngineError
from batchmail.settings import Settings
from tests.program.bench import Bench, WorkerProcess
from tests.program.search import is_listed_as_running, is_listed_no_more
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import StartRelay


async def test_detached_left_and_attached_to_again_it_is_one_batch(desk: Desk, bench: Bench) -> None:
    desk.write_list(10)
    detached = desk.call("--json", "--detach", code=0)
    batch_id = detached.object["batch_id"]
    assert detached.object == {"batch_id": batch_id, "status": "running"}
    await is_listed_as_running(bench.client, batch_id)

    attached = desk.start("--detach", "--yes")
    assert "attached" in attached.ended(0).err

    watching = desk.start()
    watching.wait_for("attached")
    watching.signal(signal.SIGINT)
    left = watching.ended(130)
    assert f"python starter.py --list {desk.list}" in left.err
    assert f"python starter.py cancel {batch_id}" in left.err

    await bench.worker()
    result = desk.call("--json", code=0).object
    assert (result["batch_id"], result["sent"]) == (batch_id, 10)
    assert set(bench.accepted().values()) == {1}
    await is_listed_no_more(bench.client, batch_id)


async def test_whoever_waits_is_told_that_no_worker_answers(desk: Desk, bench: Bench) -> None:
    desk.write_list(1)
    waiting = desk.start()
    waiting.wait_for(f"No worker answers on task queue '{bench.queue}'")
    await bench.worker()
    assert "The one recipient was mailed" in waiting.ended(0).out


async def test_a_relay_that_goes_away_is_waited_for_and_said(desk: Desk, bench: Bench) -> None:
    desk.write_list(5)
    bench.relay.stop_accepting()
    await bench.worker()
    # The starter does not know the relay here: it is the worker's.
    desk.environment = {name: value for name, value in desk.environment.items() if "SMTP" not in name}
    waiting = desk.start("--json")
    waiting.wait_for("Waiting since ")
    bench.relay.accept()
    assert waiting.ended(0).object["sent"] == 5


async def test_a_name_of_a_running_batch_is_not_given_to_another_list(desk: Desk, bench: Bench) -> None:
    desk.write_list(3)
    desk.call("--batch-id", "spring", "--detach", code=0)
    desk.write_list(4)
    refused = desk.call("--batch-id", "spring", "--json", code=2)
    assert "Batch spring runs, and is of another list or message" in refused.err
    assert refused.out == ""
    await bench.worker()
    desk.write_list(3)
    desk.call("--batch-id", "spring", code=0)
    refused = desk.call("--batch-id", "spring", "--again", code=2)
    assert "Batch spring has ended" in refused.err
    desk.write_list(4)
    refused = desk.call("--batch-id", "spring", code=2)
    assert "list.csv with 3 recipients" in refused.err


async def test_a_cancelled_batch_ends_with_its_result(desk: Desk, bench: Bench) -> None:
    desk.write_list(60)
    slow, held = (
        Fault(stage="data", do="delay", seconds=0.2),
        Fault(stage="rcpt", do="hold", match="-[2-6].@"),
    )
    bench.relay.behave(Behaviour(faults=(slow, held)))
    await bench.worker()
    watching = desk.start("--json", "--batch-id", bench.queue, "--connections", "2")
    await bench.relay.wait_for(lambda event: event.event == "recorded")
    await (await attach(bench.client, bench.store, bench.queue)).cancel()
    bench.relay.release()
    result = watching.ended(1).object
    assert result["status"] == "cancelled"
    assert result["sent"] + result["suppressed"] == 60
    assert result["sent"] == len(bench.accepted()) < 60
    assert desk.call("--json", "--batch-id", bench.queue, code=1).object == result


async def test_a_terminated_batch_goes_on_by_the_same_command(desk: Desk, bench: Bench) -> None:
    desk.write_list(8)
    watching = desk.start("--json", "--batch-id", f"b-{bench.queue}")
    watching.wait_for("batch ")
    while not (found := await find(bench.client, bench.store, f"b-{bench.queue}")):
        pass
    await bench.client.get_workflow_handle(found.id).terminate("as an operator would")
    ended = watching.ended(1)
    assert ended.out == ""
    assert "the same command goes on" in ended.err
    await bench.worker()
    assert desk.call("--json", "--batch-id", found.id, code=0).object["sent"] == 8
    assert Counter(bench.accepted().values()) == {1: 8}


async def test_whoever_waits_outlasts_the_servers_absence(tmp_path: Path, start_relay: StartRelay) -> None:
    relay = start_relay()
    state = tmp_path / "temporal"
    desk = Desk(tmp_path, {"BATCH_STORE": str(tmp_path / "store")})
    desk.relay(relay)
    desk.write_list(5)
    server = DevServer(state, print, cli=Settings().batch_temporal_cli, usual=any_free())
    with server as first:
        desk.environment["TEMPORAL_ADDRESS"] = first.address
        waiting = desk.start("--json")
        waiting.wait_for("No worker answers")
        living = server_process.read(ServerFiles(state))
        assert living is not None
        os.kill(living.pid, signal.SIGKILL)
        waiting.wait_for("Temporal does not answer since ")
        with DevServer(state, print, cli=Settings().batch_temporal_cli) as second:
            assert second.address == first.address
            worker = WorkerProcess(desk.environment, tmp_path / "worker.log")
            try:
                await worker.serves()
                assert waiting.ended(0).object["sent"] == 5
            finally:
                worker.stop()
                desk.stop()
    assert len(relay.record()) == 5


async def test_a_batch_nobody_started_is_no_batch(bench: Bench) -> None:
    assert await find(bench.client, bench.store, "never") is None
    with pytest.raises(EngineError, match="There is no batch never"):
        await attach(bench.client, bench.store, "never")

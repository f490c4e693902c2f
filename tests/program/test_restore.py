"""Temporal's database comes back from a backup, older than the store, as docs/deploy.md says of restoring."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from batchmail.batch.result import BatchResult
from batchmail.client import find
from batchmail.engine.connect import connect
from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.engine.server_process import ServerFiles
from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import CHECKOUT, Settings
from batchmail.store import Store
from tests.program.bench import DEATHS_NOTICED, Bench, address
from tests.program.starter_process import Desk, Ended
from tests.relays import Behaviour, Fault, RelayProcess
from tests.relays.fixtures import StartRelay

BATCH = "restored"
RECIPIENTS = 400
SLICE = 100


def silent_at(recipient: int) -> Behaviour:
    """The relay takes this recipient's mail, and never says so."""
    return Behaviour(faults=(Fault(stage="recorded", do="silence", match=address(recipient)),))


SLOW = Behaviour(
    faults=(
        Fault(stage="dot", do="delay", seconds=0.1),
        Fault(stage="rcpt", do="hold", match=f"reader-({RECIPIENTS}|3[0-9][0-9])@"),
    )
)
"""It cannot end before the server is lost."""


class Installation:
    """A Temporal server with data of its own, a store and a relay."""

    def __init__(self, folder: Path, relay: RelayProcess) -> None:
        self._folder, self._relay = folder, relay
        self._ports = any_free()
        self._data, self._backup = folder / "state", folder / "backup"

    @asynccontextmanager
    async def running(self, *, worker: bool = True) -> AsyncIterator[Bench]:
        """All of it runs, with or without a worker."""
        with DevServer(self._data, print, cli=Settings().batch_temporal_cli, usual=self._ports) as server:
            client = await connect(address=server.address)
            store = Store(self._folder / "store")
            bench = Bench(client, server.address, self._folder, self._relay, Behaviour(), "100", store)
            try:
                if worker:
                    await bench.worker()
                yield bench
            finally:
                bench.stop()

    def back_up_temporal(self) -> None:
        """Whether it runs or not."""
        self._backup.mkdir()
        database = ServerFiles(self._data).database
        with (
            closing(sqlite3.connect(database)) as source,
            closing(sqlite3.connect(self._backup / database.name)) as copy,
        ):
            source.backup(copy)

    def restore_temporal(self) -> None:
        """As it was when it was backed up."""
        shutil.rmtree(self._data)
        shutil.copytree(self._backup, self._data)


@pytest.fixture
def installation(tmp_path: Path, start_relay: StartRelay) -> Installation:
    """A relay that is silent at the tenth recipient."""
    return Installation(tmp_path, start_relay(silent_at(10)))


async def until_silent_at(bench: Bench, recipient: int) -> None:
    """Until the relay has this recipient's mail."""
    await bench.relay.wait_for(
        lambda event: event.event == "recorded" and event.address == address(recipient)
    )


async def test_a_batch_under_way_mails_nobody_twice_silently(installation: Installation) -> None:
    async with installation.running() as bench:
        await bench.start(40, BATCH, connections=1, slice_size=4, heartbeat_timeout=DEATHS_NOTICED)
        await until_silent_at(bench, 10)
    installation.back_up_temporal()
    bench.relay.behave(silent_at(30))
    async with installation.running() as bench:
        await until_silent_at(bench, 30)
    bench.relay.behave(Behaviour())
    installation.restore_temporal()
    async with installation.running() as bench:
        result = await bench.client.get_workflow_handle(BATCH, result_type=BatchResult).result()
        rows = bench.assert_the_promise(result)
    assert result.sent == 40
    assert {row.address for row in rows if row.in_doubt == "yes"} >= {address(10), address(30)}
    twice = {name for name, times in bench.accepted().items() if times > 1}
    assert twice <= {address(number) for number in (*range(9, 13), *range(29, 33))}, "but what was under way"


async def test_a_batch_that_had_ended_is_not_mailed_again(installation: Installation) -> None:
    async with installation.running() as bench:
        await bench.start(40, BATCH, connections=1, slice_size=4, heartbeat_timeout=DEATHS_NOTICED)
        await until_silent_at(bench, 10)
    installation.back_up_temporal()
    bench.relay.behave(Behaviour())
    async with installation.running() as bench:
        await bench.client.get_workflow_handle(BATCH, result_type=BatchResult).result()
        once = bench.accepted()
    installation.restore_temporal()
    async with installation.running() as bench:
        result = await bench.client.get_workflow_handle(BATCH, result_type=BatchResult).result()
        bench.assert_the_promise(result)
        assert bench.accepted() == once


@pytest.mark.parametrize(
    ("mailed_before", "in_doubt"),
    [(0, "resend"), (60, "resend"), (60, "hold")],
    ids=["it had not begun", "in the midst of a slice", "in the midst of a slice, hold"],
)
async def test_a_batch_backed_up_while_it_ran_is_started_again_and_mails_nobody_twice_silently(
    installation: Installation, mailed_before: int, in_doubt: str
) -> None:
    """The backup knows the very attempt that went on mailing; so it must not be asked to go on itself."""
    async with installation.running() as bench:
        bench.relay.behave(SLOW)
        if not mailed_before:
            installation.back_up_temporal()
        the_command(bench)
        if mailed_before:
            await until_mailed(bench, mailed_before)
            installation.back_up_temporal()
        await until_mailed(bench, 2 * SLICE + SLICE // 2)
    bench.relay.release()
    await bench.all_connections_closed()
    bench.relay.behave(Behaviour())
    installation.restore_temporal()
    async with installation.running(worker=False) as bench:
        await as_the_guide_says(bench)
        the_command(bench, "--in-doubt", in_doubt)
        await bench.worker()
        result = await bench.client.get_workflow_handle(BATCH, result_type=BatchResult).result()
    rows = bench.assert_the_promise(result)
    times = bench.accepted()
    assert {row.in_doubt for row in rows[:SLICE]} == {"no"}, (
        "the store has the outcomes of a slice that ended"
    )
    assert all(times[row.address] == 1 for row in rows if row.in_doubt == "no")
    if in_doubt == "hold":
        assert max(times.values()) == 1
        assert result.sent + result.unknown == RECIPIENTS
    else:
        assert result.sent == RECIPIENTS
        assert max(times.values()) == 2, "somebody was under way"


async def test_a_batch_backed_up_while_it_ran_that_had_ended_is_started_again_and_mails_nobody(
    installation: Installation,
) -> None:
    async with installation.running() as bench:
        bench.relay.behave(SLOW)
        the_command(bench)
        await until_mailed(bench, SLICE // 2)
        installation.back_up_temporal()
        bench.relay.behave(Behaviour())
        before = await bench.client.get_workflow_handle(BATCH, result_type=BatchResult).result()
        bench.assert_everyone_once(before)
    installation.restore_temporal()
    async with installation.running(worker=False) as bench:
        await as_the_guide_says(bench)
        assert the_command(bench, "--json").object["sent"] == RECIPIENTS
        assert not await running(bench), "nothing is left to be done"


# How it is done

OPTIONS = ("--batch-id", BATCH, "--connections", "5", "--slice-size", str(SLICE))


def the_command(bench: Bench, *more: str) -> Ended:
    """What its user types: before the server is lost, and again after."""
    desk = Desk(bench.folder, bench.environment)
    desk.write_list(RECIPIENTS)
    return desk.call(*OPTIONS, "--detach", *more, code=0)


async def until_mailed(bench: Bench, recipients: int) -> None:
    """Until the relay has so many mails."""
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=recipients)


async def as_the_guide_says(bench: Bench) -> None:
    """End every batch by the commands of docs/deploy.md."""
    guide = (CHECKOUT / "docs" / "deploy.md").read_text()
    (commands,) = re.findall(
        r"^```console\n(temporal workflow list .*?)^```$", guide, re.MULTILINE | re.DOTALL
    )
    program = find_temporal(Settings().batch_temporal_cli, print)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "TEMPORAL_ADDRESS": bench.environment["TEMPORAL_ADDRESS"],
    }
    await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", commands],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        check=False,  # what has ended already cannot be ended
        timeout=60,
    )
    assert not await running(bench)


async def running(bench: Bench) -> bool:
    """Whether Temporal would go on with the batch."""
    found = await find(bench.client, bench.store, BATCH)
    return found is not None and not found.had_ended

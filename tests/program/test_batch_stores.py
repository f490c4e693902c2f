"""Batches whose store is a bucket, and stores that fail on the way: the batch waits, says so, goes on."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import stat
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from batchmail.batch.places import batch_folder
from batchmail.batch.result import BatchResult
from batchmail.report.receipt import receipt_name
from batchmail.store import Store
from tests.buckets import BUCKET, BucketServer
from tests.program.bench import DEATHS_NOTICED, Bench, Handle, in_another_loop, waiting
from tests.program.resets import WhichTask, reset
from tests.program.starter_process import Desk, Ended, StarterProcess
from tests.program.test_batch_pauses import until
from tests.relays import Behaviour, Fault

RECIPIENTS = 60
SLICES: dict[str, Any] = {"connections": 4, "slice_size": 15}
HELD_AT_20 = Behaviour(faults=(Fault(stage="dot", do="hold", match=r"reader-(6|21|36|51)@"),))
"""The relay answers five bodies of each slice, and the others when it is told to."""

IN_A_BUCKET = pytest.mark.parametrize("kind", ["bucket"])

AFTER_OPENING: WhichTask = itemgetter(1)
"""Where the batch is open and nobody is mailed."""


@pytest.fixture
def kind() -> str:
    """What the bench's store lies on."""
    return "folder"


@pytest.fixture
def store(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """The bench's store; in a bucket on a server of the test's own, since it may stop it."""
    if kind == "folder":
        return Store(tmp_path / "store")
    own: BucketServer = request.getfixturevalue("own_server")
    return own.store("mailings/2031", monkeypatch)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[BucketServer]:
    """An object store for one test."""
    server = BucketServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def name(bench: Bench) -> str:
    """A batch's: the server knows those of the other tests."""
    return f"spring-{bench.folder.name}"


def purge(desk: Desk, *arguments: str, code: int = 0) -> Ended:
    return StarterProcess(["purge", *arguments], desk.environment).ended(code)


async def half_way(bench: Bench) -> None:
    """Until twenty are sent, and each connection waits for an answer."""
    await bench.relay.wait_for(lambda event: event.event == "dot", times=20 + SLICES["connections"])


@IN_A_BUCKET
async def test_a_batch_in_a_bucket_survives_its_worker_and_answers_from_there(
    desk: Desk, bench: Bench, name: str
) -> None:
    desk.write_list(200)
    victim = await bench.worker(arm="body_sent:60=kill")
    starter = desk.start("--json", "--connections", "5", "--batch-id", name)
    assert await victim.ended(60) == -signal.SIGKILL
    await bench.worker()
    said = starter.ended(0).object
    assert said["report"] == f"s3://{BUCKET}/mailings/2031/batches/{name}/report.csv"
    handle: Handle = bench.client.get_workflow_handle(name, result_type=BatchResult)
    result = await handle.result()
    rows = bench.assert_the_promise(result)
    assert result.sent == 200
    assert 1 <= sum(row.in_doubt == "yes" for row in rows) <= 5
    again = desk.call("--batch-id", name, code=0)
    assert "has ended before" in again.err
    assert said["report"] in again.out


@IN_A_BUCKET
@pytest.mark.behaviour(HELD_AT_20)
async def test_a_bucket_out_of_reach_is_waited_for(bench: Bench, own_server: BucketServer) -> None:
    await bench.worker()
    handle = await bench.start(RECIPIENTS, **SLICES)
    await half_way(bench)
    own_server.stop()
    bench.relay.release()
    sentence = (
        f"the store {bench.store} cannot be used: it cannot be reached (nobody listens there): "
        "check AWS_ENDPOINT_URL, and that it runs"
    )
    # What was under way when the server stopped fails in other words, once.
    await until(handle, lambda progress: sentence in [one.what for one in progress.waiting])
    own_server.start()
    bench.assert_everyone_once(await handle.result())


@IN_A_BUCKET
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong"},
            "it refuses the credentials (SignatureDoesNotMatch): "
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
        ),
        (
            {"BATCH_STORE": "s3://no-such-bucket/x"},
            "there is no such bucket: create it, or mend BATCH_STORE",
        ),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "it cannot be reached (nobody listens there): check AWS_ENDPOINT_URL, and that it runs",
        ),
    ],
    ids=["credentials", "bucket", "endpoint"],
)
async def test_a_bucket_that_cannot_be_used_is_said_to_whoever_set_it(
    desk: Desk, bench: Bench, name: str, settings: dict[str, str], sentence: str
) -> None:
    desk.write_list(10)
    refused = desk.start("--json", terminal=False, **settings).ended(3)
    assert sentence in refused.err
    assert len(refused.err.strip().splitlines()) == 1, refused.err

    misled = await bench.worker(**settings)
    starter = desk.start("--json", "--batch-id", name)
    starter.wait_for(sentence)
    misled.signal(signal.SIGTERM)
    assert await misled.ended() == 0
    await bench.worker()
    assert starter.ended(0).object["sent"] == 10
    assert set(bench.accepted().values()) == {1}


async def test_a_worker_with_another_store_says_so_and_names_both(
    desk: Desk, bench: Bench, name: str, tmp_path: Path
) -> None:
    desk.write_list(10)
    misled = await bench.worker(BATCH_STORE=str(tmp_path / "elsewhere"))
    starter = desk.start("--json", "--batch-id", name)
    starter.wait_for(
        f"The store of this worker, {tmp_path}/elsewhere, does not have this batch's list and message, which "
        f"the starter kept in {bench.store}: give both the same BATCH_STORE."
    )
    misled.signal(signal.SIGTERM)
    assert await misled.ended() == 0
    await bench.worker()
    assert starter.ended(0).object["sent"] == 10


async def test_a_worker_whose_store_has_the_list_but_not_the_batch_mails_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    """Nothing there would tell it who was mailed already."""
    opener = await bench.worker(arm="begun:1=kill")
    handle = await bench.start(RECIPIENTS, heartbeat_timeout=DEATHS_NOTICED, **SLICES)
    assert await opener.ended() == -signal.SIGKILL
    other = Store(tmp_path / "other")
    for entry in (*await bench.store.entries("snapshots"), *await bench.store.entries("messages")):
        await other.put(entry.name, await bench.store.get(entry.name))
    misled = await bench.worker(BATCH_STORE=str(other))
    progress = await waiting(handle)
    assert f"The store of this worker, {other}, does not know batch {handle.id}" in progress.waiting[0].what
    misled.signal(signal.SIGTERM)
    assert await misled.ended() == 0
    assert not bench.accepted()
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


@pytest.mark.behaviour(HELD_AT_20)
async def test_a_store_that_is_full_is_waited_for(bench: Bench) -> None:
    """No file may grow: what a full disk does, on any file system."""
    worker = await bench.worker()
    handle = await bench.start(RECIPIENTS, **SLICES)
    await half_way(bench)
    _, most = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (0, most))
    bench.relay.release()
    progress = await waiting(handle)
    assert progress.waiting[0].what == (
        f"the store {bench.store} cannot be used: File too large: raise the limit on the size of files"
    )
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (most, most))
    bench.assert_everyone_once(await handle.result())


@pytest.mark.behaviour(HELD_AT_20)
async def test_a_store_that_may_not_be_written_is_waited_for(bench: Bench) -> None:
    # Root writes where it may not, unless it gives that privilege up.
    under = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    await bench.worker(under=under)
    handle = await bench.start(RECIPIENTS, **SLICES)
    await half_way(bench)
    partial = Path(str(bench.store)) / ".partial"
    partial.chmod(0o500)
    bench.relay.release()
    progress = await waiting(handle)
    assert progress.waiting[0].what == (
        f"the store {bench.store} cannot be used: Permission denied: let this user read and write there"
    )
    partial.chmod(0o700)
    bench.assert_everyone_once(await handle.result())


REFUSES_ONE = Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-1@"),))


@pytest.mark.behaviour(REFUSES_ONE)
async def test_everything_a_batch_leaves_in_a_folder_is_its_owners_alone(bench: Bench) -> None:
    before = os.umask(0o022)
    await bench.worker()
    handle = await bench.start(RECIPIENTS, admins=("boss@example.org",), **SLICES)
    os.umask(before)
    result = await handle.result()
    assert (result.sent, result.rejected) == (RECIPIENTS - 1, 1)
    kinds = set()
    for path in Path(str(bench.store)).rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
        kinds.add(path.name)
    assert {"report.csv", "receipt.json", "cut.json", "failures.json", "manifest.json", "words"} <= kinds
    receipt = await bench.store.get(receipt_name(handle.id))
    assert b"reader-" not in receipt
    assert b"boss" not in receipt


@IN_A_BUCKET
@pytest.mark.behaviour(REFUSES_ONE)
async def test_a_purged_batch_in_a_bucket_still_answers_and_mails_nobody(
    desk: Desk, bench: Bench, name: str, own_server: BucketServer
) -> None:
    desk.write_list(RECIPIENTS)
    worker = await bench.worker()
    desk.call("--batch-id", name, code=1)
    for path in own_server.data.rglob("*"):
        os.utime(path, (0, 0))
    purge(desk, name, "--yes")
    left = await bench.store.names("batches")
    assert left == [f"{name}/cut.json", f"{name}/receipt.json"]
    assert not await bench.store.names("snapshots")
    texts = [path.read_bytes() for path in own_server.data.rglob("*") if path.is_file()]
    assert not any(b"reader-" in text for text in texts)

    said = desk.call("--batch-id", name, code=1)
    assert "purged on" in said.out
    await reset(bench, name, AFTER_OPENING)
    progress = await waiting(bench.client.get_workflow_handle(name))
    assert f"Batch {name} was purged on" in progress.waiting[0].what
    worker.stop()
    assert sum(bench.accepted().values()) == RECIPIENTS - 1


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    """The real thing, where a small disk can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k none {disk} 2>/dev/null"):
        pytest.skip("only root can mount a small disk; the test above has a limit in its place")
    try:
        store = Store(disk)
        in_another_loop(store.put("a", b"before"))
        with pytest.raises(Exception, match="No space left on device: make room there") as caught:
            in_another_loop(store.put("a", b"x" * 100_000))
        assert str(store) in str(caught.value)
        assert in_another_loop(store.get("a")) == b"before"
        assert not list((disk / ".partial").iterdir())
    finally:
        os.system(f"umount {disk}")


async def test_a_damaged_outcome_file_is_waited_for_by_the_slice_that_needs_it(bench: Bench) -> None:
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="hold", match="reader-40@"),)))
    await bench.worker()
    handle = await bench.start(40, connections=2, slice_size=20)
    folder = f"{batch_folder(handle.id)}/outcomes/1-20"
    async with asyncio.timeout(60):
        while not (names := await bench.store.names(folder)):  # noqa: ASYNC110 - the store's state
            await asyncio.sleep(0.05)
    await handle.terminate()
    file = f"{folder}/{names[0]}"
    whole = await bench.store.get(file)
    await bench.store.put(file, re.sub(rb'"states":"[^"]+"', b'"states":"bm90IHBhY2tlZA=="', whole))
    handle = await bench.start(40, connections=2, slice_size=20)
    (found,) = {one.what for one in (await waiting(handle)).waiting}
    assert f"{file} in the store {bench.store} is damaged: its states cannot be unpacked" in found
    await bench.store.put(file, whole)
    bench.relay.release()
    bench.assert_the_promise(await handle.result())

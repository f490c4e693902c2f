"""A store keeps the same promises in a folder and in a bucket: one suite for both."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchmail.batch.places import batch_folder
from batchmail.errors import MissingObjectError, StoreError
from batchmail.locations import BucketUrl
from batchmail.store import Store
from tests.buckets import BucketServer

MEGABYTE = 1_000_000

ODD_NAMES = (
    "a b",
    "größe",
    "邮件",
    "x#1",
    "50%",
    "%41",
    "a+b&c=d",
    "q?x",
    "~tilde",
    "it's",
    "a:b",
    ".hidden",
)
ODD_IDS = ("spring/2031", "../../etc", "..", ".", "a b#1", "50%", "%2E.", "größe 🎉", "/", "x" * 900)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store of each kind."""
    if request.param == "folder":
        return Store(tmp_path / "store")
    server: BucketServer = request.getfixturevalue("bucket_server")
    return server.store(f"some prefix/{tmp_path.name}", monkeypatch)


async def pieces(*content: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece
    if error:
        raise error


async def test_what_was_put_is_there_whole_and_replaced_as_a_whole(store: Store) -> None:
    for content in (b"", b"one", b"x" * 6 * MEGABYTE, b"two"):
        await store.put("a/b", content)
        assert await store.get("a/b") == content
    assert [(entry.name, entry.size) for entry in await store.entries("a")] == [("a/b", 3)]


async def test_what_is_not_there_is_said_to_be_missing(store: Store) -> None:
    await store.put("a/b", b"")
    for name in ("c", "a", "a/b/c", "a/c"):
        assert await store.find(name) is None
        with pytest.raises(MissingObjectError, match=f"The store .* has no {name}"):
            await store.get(name)


async def test_of_fifty_who_create_one_object_exactly_one_wins(store: Store) -> None:
    for attempt in range(5):
        name = f"batches/b/cut-{attempt}.json"
        won = await asyncio.gather(*(store.create(name, str(number).encode()) for number in range(50)))
        assert won.count(True) == 1
        assert await store.get(name) == str(won.index(True)).encode()


async def test_what_is_there_is_not_created_again(store: Store) -> None:
    await store.put("a", b"before")
    assert not await store.create("a", b"after")
    assert await store.get("a") == b"before"


async def test_an_object_in_pieces_is_whole(store: Store) -> None:
    large = b"x" * 6 * MEGABYTE  # more than one part of an upload
    await store.put_stream("a/b", pieces(b"one,", large, b"", b",two"))
    assert await store.get("a/b") == b"one," + large + b",two"
    await store.put_stream("a/b", pieces())
    assert await store.get("a/b") == b""


@pytest.mark.parametrize("error", [MissingObjectError("no x"), StoreError("x"), ValueError("x")])
@pytest.mark.parametrize("size", [1, 12 * MEGABYTE])
async def test_pieces_that_fail_leave_what_was_there(store: Store, size: int, error: Exception) -> None:
    await store.put("a/b", b"before")
    with pytest.raises(type(error)) as caught:
        await store.put_stream("a/b", pieces(b"x" * size, error=error))
    assert caught.value is error
    assert await store.get("a/b") == b"before"
    assert await store.names("a") == ["b"]


async def test_a_large_object_in_pieces_takes_little_memory(store: Store) -> None:
    async def many() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"y" * MEGABYTE

    before = peak_memory()
    await store.put_stream("large/one", many())
    assert peak_memory() - before < 60 * MEGABYTE
    assert [entry.size for entry in await store.entries("large")] == [300 * MEGABYTE]
    await store.delete("large/one")


async def test_objects_are_listed_in_order_with_size_and_time(store: Store) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    for name in ("batches/b/opened/1-2/x", "batches/b/cut.json", "batches/a.1/opened/y", "other/c"):
        await store.put(name, name.encode())
    assert await store.names("batches") == ["a.1/opened/y", "b/cut.json", "b/opened/1-2/x"]
    assert await store.names("batches/b/opened") == ["1-2/x"]
    assert await store.names("batch") == []
    assert await store.names("nothing") == []
    for entry in await store.entries("batches"):
        assert entry.size == len(entry.name)
        assert began < entry.written < datetime.now(UTC) + timedelta(seconds=2)


async def test_folders_are_named_without_objects_and_depths(store: Store) -> None:
    for name in ("batches/b/cut.json", "batches/a.1/opened/1-2/x", "batches/lone", "other/c/d"):
        await store.put(name, b"")
    assert await store.folders("batches") == ["a.1", "b"]
    assert await store.folders("batches/a.1") == ["opened"]
    assert await store.folders("nothing") == []


async def test_more_than_a_thousand_objects_are_listed_and_folders_too(store: Store) -> None:
    names = [f"{number:04}/x" for number in range(1100)]
    for some in range(0, len(names), 100):
        await asyncio.gather(*(store.put(f"many/{name}", b"") for name in names[some : some + 100]))
    assert await store.names("many") == names
    assert await store.folders("many") == [name.removesuffix("/x") for name in names]


async def test_what_was_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    await store.put("a/b/c", b"")
    await store.put("a/d", b"")
    for _ in range(2):
        await store.delete("a/b/c")
        assert await store.names("a") == ["d"]
        assert await store.folders("a") == []
    await store.delete("never/was")
    await store.delete("a/d")
    assert await store.find("a/d") is None


async def test_files_are_written_where_others_are_deleted_at_the_same_time(tmp_path: Path) -> None:
    """The last one to go takes its folder with it. (A bucket has no folders.)"""
    store = Store(tmp_path)

    async def come_and_go(number: int) -> None:
        for _ in range(20):
            await store.put(f"a/b/{number}", b"x")
            assert await store.get(f"a/b/{number}") == b"x"
            await store.delete(f"a/b/{number}")

    await asyncio.gather(*map(come_and_go, range(8)))
    assert await store.names("a") == []


async def test_names_may_hold_what_people_write(store: Store) -> None:
    for name in ODD_NAMES:
        await store.put(f"odd/{name}/{name}", name.encode())
        assert await store.get(f"odd/{name}/{name}") == name.encode()
    assert await store.names("odd") == sorted(f"{name}/{name}" for name in ODD_NAMES)
    assert await store.folders("odd") == sorted(ODD_NAMES)


async def test_every_batch_id_has_a_folder_of_its_own(store: Store) -> None:
    for batch_id in ODD_IDS:
        await store.put(f"{batch_folder(batch_id)}/receipt.json", batch_id.encode())
    assert len(await store.folders("batches")) == len(ODD_IDS)
    for batch_id in ODD_IDS:
        assert await store.get(f"{batch_folder(batch_id)}/receipt.json") == batch_id.encode()


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a/.", "a\0b"])
async def test_a_name_that_leads_elsewhere_is_a_mistake(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="a name in the store"):
        await store.put(name, b"")


async def test_a_person_finds_an_object_below_what_the_store_is_called(store: Store) -> None:
    assert store.path("batches/b/report.csv") == f"{store}/batches/b/report.csv"


async def test_what_cannot_be_written_is_named(store: Store) -> None:
    await store.put("a", b"an object, not a folder")
    with pytest.raises(StoreError, match=r"^a/b could not be written in the store"):
        await store.put("a/b", b"x")


async def test_an_object_in_the_way_of_a_folder_is_no_lost_race(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.put("a", b"an object, not a folder")
    for write in (store.put, store.create):
        with pytest.raises(StoreError, match=r"^a/b could not be written in the store"):
            await write("a/b", b"x")


async def test_a_bucket_that_never_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        store = Store(BucketUrl("s3", "mails"))
        began = time.monotonic()
        calls = (store.put("a", b"x"), store.create("a", b"x"), store.get("a"), store.names("a"))
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, StoreError)
            assert "it does not answer in time" in str(error)
        assert time.monotonic() - began < 30, "a large upload is given a minute, these are not"


def peak_memory() -> int:
    """The most that this process ever held, in octets."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024

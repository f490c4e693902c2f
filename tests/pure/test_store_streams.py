"""Store.put_stream: what is written in pieces appears whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchmail.errors import MissingObjectError, StoreError
from batchmail.store import Store


async def _pieces(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error:
        raise error


async def test_pieces_come_to_one_object_that_only_its_owner_may_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    large = b"x" * 6_000_000  # more than one part of a multipart upload
    await store.put_stream("a/b", _pieces(b"one,", large, b"", b",two"))
    assert await store.get("a/b") == b"one," + large + b",two"
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o600


async def test_no_pieces_are_an_empty_object(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.put_stream("a", _pieces())
    assert await store.get("a") == b""


@pytest.mark.parametrize(
    "error", [MissingObjectError("The store has no x."), StoreError("x"), ValueError("x")]
)
async def test_pieces_that_fail_leave_what_was_there(tmp_path: Path, error: Exception) -> None:
    store = Store(tmp_path)
    await store.put("a", b"before")
    with pytest.raises(type(error)) as caught:
        await store.put_stream("a", _pieces(b"x" * 6_000_000, error=error))
    assert caught.value is error
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert await store.get("a") == b"before"


async def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.put("a", b"a file, not a folder")
    with pytest.raises(StoreError, match=r"^a/b could not be written in the store"):
        await store.put_stream("a/b", _pieces(b"x"))

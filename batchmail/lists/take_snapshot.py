"""A list becomes a snapshot in the store: one pass over the file, in bounded memory.

The id is known only when the last row has been read; until then the rows lie in a temporary file. Then the
blocks are written, and the manifest last. Two who do this at once write the same objects.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pydantic_core import to_json

from batchmail.errors import ListError, MissingObjectError, StoreError
from batchmail.lists.duplicates import SeenAddresses
from batchmail.lists.read_list import ListReader
from batchmail.lists.snapshot import (
    InvalidRow,
    Snapshot,
    block_name,
    invalid_name,
    load_snapshot,
    manifest_name,
    renew_snapshot,
)
from batchmail.store import Store

KEPT_INVALID = 1000
"""How many of the rows left out a Scan carries; all are in the store."""

_BLOCK_ROWS = 5000
_BLOCK_BYTES = 4_000_000
_PROGRESS_ROWS = 1000


class Scan(NamedTuple):
    """What came of reading a list."""

    snapshot: Snapshot
    """With this list's own name and counts, also where the snapshot was there before."""
    invalid: tuple[InvalidRow, ...]
    """The first 1,000 rows that were left out."""
    already_there: bool
    """The store had this snapshot; nothing was written anew but its manifest, and other rows left out."""


async def take_snapshot(
    store: Store,
    location: Path,
    *,
    email_column: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scan:
    """Read the list at `location` and keep it in `store`, durably.

    `progress` is called on this event loop with the number of rows read so far: now and then while a thread
    reads them, and again after each block that is written, so that who listens hears of life to the end.
    Raises ListError for a list that cannot be used as a whole, StoreError.
    """
    loop = asyncio.get_running_loop()
    abandoned = threading.Event()

    def tell(rows: int) -> None:
        if abandoned.is_set():
            raise _AbandonedError
        if progress is not None:
            loop.call_soon_threadsafe(progress, rows)

    try:
        copy = await asyncio.to_thread(_copy_list, location, email_column, tell)
    except asyncio.CancelledError:
        abandoned.set()
        raise
    with copy.rows, copy.invalid:
        try:
            there = await load_snapshot(store, copy.snapshot.id)
        except MissingObjectError:
            await _write(store, copy, progress)
            return Scan(copy.snapshot, copy.first_invalid, already_there=False)
        await renew_snapshot(store, copy.snapshot.id)
        await _keep_invalid(store, copy)
    snapshot = copy.snapshot.model_copy(update={"block_rows": there.block_rows})
    return Scan(snapshot, copy.first_invalid, already_there=True)


class _AbandonedError(Exception):
    """Nobody waits for the thread any more."""


class _Copy(NamedTuple):
    """A list, read: what will stand in the manifest, and the other objects' content in temporary files."""

    snapshot: Snapshot
    rows: BinaryIO
    invalid: BinaryIO
    first_invalid: tuple[InvalidRow, ...]


def _copy_list(path: Path, email_column: str | None, tell: Callable[[int], None]) -> _Copy:
    with ListReader(path, email_column) as reader:
        try:
            rows, invalid = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
            try:
                return _copy_rows(path, reader, rows, invalid, tell)
            except BaseException:
                rows.close()
                invalid.close()
                raise
        except OSError as error:
            raise StoreError(
                f"The temporary folder {tempfile.gettempdir()} cannot be written ({error.strerror}): "
                "set TMPDIR to a folder with room for the list."
            ) from None


def _copy_rows(
    path: Path, reader: ListReader, rows: BinaryIO, invalid: BinaryIO, tell: Callable[[int], None]
) -> _Copy:
    digest = hashlib.sha256(_hashed((str(len(reader.fields)), *reader.fields)))
    seen = SeenAddresses()
    first_invalid: list[InvalidRow] = []
    total = duplicates = invalid_rows = size = 0
    for count, row in enumerate(reader.rows(), 1):
        if count % _PROGRESS_ROWS == 0:
            tell(count)
        if isinstance(row, InvalidRow):
            invalid_rows += 1
            invalid.write(to_json(row) + b"\n")
            if len(first_invalid) < KEPT_INVALID:
                first_invalid.append(row)
        elif seen.add(row.address):
            total += 1
            hashed = _hashed((row.address, *row.fields))
            size += len(hashed)
            digest.update(hashed)
            rows.write(to_json(row) + b"\n")
        else:
            duplicates += 1
    if not total:
        raise _nobody(path, invalid_rows, first_invalid)
    rows.seek(0)
    invalid.seek(0)
    snapshot = Snapshot(
        id=digest.hexdigest()[:32],
        # A name that is not UTF-8 comes with lone surrogates, which no file of the store can hold.
        list_name=path.name.encode(errors="replace").decode(),
        total=total,
        fields=reader.fields,
        # From what the id covers and from nothing else: two writers of one id must cut alike.
        block_rows=max(1, min(_BLOCK_ROWS, _BLOCK_BYTES * total // size)),
        duplicates=duplicates,
        invalid_rows=invalid_rows,
    )
    return _Copy(snapshot, rows, invalid, tuple(first_invalid))


def _hashed(texts: tuple[str, ...]) -> bytes:
    """Texts as the id covers them: none holds a NUL, so that no two rows look alike."""
    return "\0".join((*texts, "")).encode()


def _nobody(path: Path, invalid_rows: int, first_invalid: list[InvalidRow]) -> ListError:
    if not first_invalid:
        return ListError(f"The list {path} has a header and no rows: it needs a row a recipient.")
    line, reason = first_invalid[0]
    rows = "the only row is left out" if invalid_rows == 1 else f"all {invalid_rows:,} rows are left out"
    return ListError(f"The list {path} has no usable row: {rows}; line {line}: {reason}.")


async def _write(store: Store, copy: _Copy, progress: Callable[[int], None] | None) -> None:
    snapshot = copy.snapshot
    for number in range(snapshot.blocks):
        block = b"".join(islice(copy.rows, snapshot.block_rows))
        await store.put(block_name(snapshot.id, number), block)
        if progress is not None:
            progress(snapshot.total + snapshot.duplicates + snapshot.invalid_rows)
    await _keep_invalid(store, copy)
    await store.put(manifest_name(snapshot.id), snapshot.model_dump_json().encode())


async def _keep_invalid(store: Store, copy: _Copy) -> None:
    """Keep the rows left out: the id does not cover them, so what is there may be another list's."""
    name, content = invalid_name(copy.snapshot.id), copy.invalid.read()
    if content and await store.find(name) != content:
        await store.put(name, content)

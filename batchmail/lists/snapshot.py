"""A snapshot: the validated, immutable copy of a list in the store, and how it lies there.

snapshots/<id>/manifest.json                 a Snapshot; written last, so who finds it finds the rest
snapshots/<id>/recipients/<n:06d>.jsonl      from 000000; `block_rows` lines [line,address,[cells…]] each
snapshots/<id>/invalid.jsonl                 lines [line,reason], of the list read last; only if it had any
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from batchmail.batch.options import ListFacts
from batchmail.batch.recipients import Recipient
from batchmail.errors import StoreError
from batchmail.store import Store

SNAPSHOTS = "snapshots"


class InvalidRow(NamedTuple):
    """A row that is left out: `line` is where it begins in the list; `reason` never holds what is in it."""

    line: int
    reason: str


class Snapshot(BaseModel):
    """What is known of a snapshot without reading its recipients."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    id: str
    """A hash over the field names and every recipient's address and fields, in order; not over lines, and
    not over how the blocks are cut."""
    list_name: str
    """The file's own name, without its folder."""
    total: int = Field(ge=0)
    """Usable recipients."""
    fields: tuple[str, ...]
    """The names by which a template reaches the cells of every column but the address; that is `email`."""
    block_rows: int = Field(ge=1)
    """Recipients a block; the last may hold fewer."""
    duplicates: int = Field(ge=0)
    """Rows left out because their address was in the list before."""
    invalid_rows: int = Field(ge=0)
    """Rows left out with a reason."""

    @property
    def facts(self) -> ListFacts:
        """What the list had beside its recipients."""
        return ListFacts(name=self.list_name, duplicates=self.duplicates, invalid_rows=self.invalid_rows)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.total // self.block_rows)


def manifest_name(snapshot_id: str) -> str:
    """The object that says the snapshot is whole."""
    return f"{SNAPSHOTS}/{snapshot_id}/manifest.json"


def block_name(snapshot_id: str, number: int) -> str:
    """The object with block `number` (from 0) of the recipients."""
    return f"{SNAPSHOTS}/{snapshot_id}/recipients/{number:06d}.jsonl"


def invalid_name(snapshot_id: str) -> str:
    """The object with the rows that were left out."""
    return f"{SNAPSHOTS}/{snapshot_id}/invalid.jsonl"


async def load_snapshot(store: Store, snapshot_id: str) -> Snapshot:
    """The snapshot of this id. Raises MissingObjectError where the store has none, StoreError."""
    name = manifest_name(snapshot_id)
    content = await store.get(name)
    try:
        return Snapshot.model_validate_json(content)
    except ValidationError:
        raise StoreError(f"{name} in the store {store} is not a manifest of this program.") from None


async def renew_snapshot(store: Store, snapshot_id: str) -> None:
    """Write the manifest once more as it is: its time tells when the list was read last, and a purge goes by
    it. Raises MissingObjectError, StoreError."""
    name = manifest_name(snapshot_id)
    await store.put(name, await store.get(name))


async def read_recipients(store: Store, snapshot: Snapshot, first: int, last: int) -> list[Recipient]:
    """Rows `first` to `last` of the snapshot (from 1, both included); reads only the blocks they lie in.

    Raises ValueError for rows the snapshot does not have, MissingObjectError, StoreError.
    """
    if not 1 <= first <= last <= snapshot.total:
        raise ValueError(f"rows {first} to {last} of a snapshot of {snapshot.total}")
    size = snapshot.block_rows
    found: list[Recipient] = []
    for number in range((first - 1) // size, (last - 1) // size + 1):
        begin = number * size
        found += await _read_block(store, snapshot, number, max(0, first - 1 - begin), last - begin)
    return found


async def all_recipients(store: Store, snapshot: Snapshot) -> AsyncIterator[list[Recipient]]:
    """Every recipient in order, block by block. Raises MissingObjectError, StoreError."""
    for number in range(snapshot.blocks):
        yield await _read_block(store, snapshot, number, 0, snapshot.block_rows)


async def _read_block(store: Store, snapshot: Snapshot, number: int, begin: int, end: int) -> list[Recipient]:
    """Rows `begin` (from 0) up to, not with, `end` of a block."""
    name = block_name(snapshot.id, number)
    lines = (await store.get(name)).splitlines()
    rows = min(snapshot.block_rows, snapshot.total - number * snapshot.block_rows)
    if len(lines) != rows:
        raise StoreError(f"{name} in the store {store} has {len(lines)} rows where {rows} were written.")
    return [
        Recipient(line, address, tuple(cells))
        for line, address, cells in _parsed(store, name, lines[begin:end])
    ]


def _parsed(store: Store, name: str, lines: list[bytes]) -> list[list[Any]]:
    try:
        rows: list[list[Any]] = from_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        raise StoreError(f"{name} in the store {store} is damaged: it is not JSON lines.") from None
    return rows

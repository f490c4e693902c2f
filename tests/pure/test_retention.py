"""A purge removes what is personal in ended batches, keeps what says that they ended, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchmail.batch.batch_cut import BatchCut, cut_name
from batchmail.batch.places import batch_folder
from batchmail.batch.result import BatchResult, Status
from batchmail.cli.mailed_before import mailed_before
from batchmail.errors import RefusedError
from batchmail.lists.snapshot import Snapshot, manifest_name
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.message.source import MessageSource, message_name, read_message, save_message
from batchmail.report.receipt import load_receipt, receipt_name, save_receipt
from batchmail.retention import held_batches, purge, remove_unused, unused
from batchmail.store import Store
from tests.pure.starter_calls import LIST, Starter, starter

__all__ = ["starter"]

DAY = 86_400.0


class Stock:
    """A store with batches as the program leaves them, of any age."""

    def __init__(self, starter: Starter) -> None:
        self.folder = starter.folder
        self.store = Store(starter.store)
        self.message: MessageSource = read_message(starter.message)

    async def list(self, content: str = LIST) -> Snapshot:
        path = self.folder / "list.csv"
        path.write_text(content)
        await save_message(self.store, self.message)
        return (await take_snapshot(self.store, path)).snapshot

    async def batch(
        self, batch_id: str, snapshot: Snapshot, *, ended: bool = True, told: bool = True, **cut: Any
    ) -> None:
        kept = BatchCut(batch=batch_id, snapshot=snapshot.id, message=self.message.id, slice_size=1, **cut)
        await self.store.put(cut_name(batch_id), kept.model_dump_json().encode())
        names = ["opened/1-1/nonce", "outcomes/1-1/hash", "words/1-1/nonce", "notice/opened/1-1/nonce"]
        if ended:
            names += ["report.csv", "failures.json"]
        for name in names:
            await self.store.put(f"{batch_folder(batch_id)}/{name}", b"[]")
        if ended:
            result = BatchResult(
                batch_id=batch_id, status=Status.COMPLETED, total=2, sent=2, report="x", admin_notified=told
            )
            await save_receipt(self.store, result)

    def age(self, days: float, below: str = "") -> None:
        """Everything below was written so long ago."""
        then = time.time() - days * DAY
        for path in (Path(str(self.store)) / below).rglob("*"):
            os.utime(path, (then, then))

    async def left(self, batch_id: str) -> set[str]:
        return set(await self.store.names(batch_folder(batch_id)))

    async def has(self, snapshot: Snapshot) -> bool:
        return bool(await self.store.names(f"snapshots/{snapshot.id}"))

    async def has_message(self) -> bool:
        return await self.store.find(message_name(self.message.id)) is not None


@pytest.fixture
def stock(starter: Starter) -> Stock:
    """An empty store."""
    return Stock(starter)


REMAINS = {"cut.json", "receipt.json", "notice/opened/1-1/nonce"}


def test_a_purged_batch_keeps_its_receipt_and_nothing_personal(starter: Starter, stock: Stock) -> None:
    snapshot = asyncio.run(stock.list())
    asyncio.run(stock.batch("spring", snapshot))
    stock.age(1)
    said = starter("purge", "spring", "--yes", code=0)
    assert "removed" in said.out
    assert asyncio.run(stock.left("spring")) == REMAINS
    assert not asyncio.run(stock.has(snapshot))
    assert not asyncio.run(stock.has_message())
    texts = [path.read_bytes() for path in Path(str(stock.store)).rglob("*") if path.is_file()]
    assert not any(b"@example" in text for text in texts)
    receipt = asyncio.run(load_receipt(stock.store, "spring"))
    assert receipt is not None
    assert receipt.sent == 2


def test_who_asks_for_a_purged_batch_again_is_shown_its_counts_and_mails_nobody(
    starter: Starter, stock: Stock
) -> None:
    batch_id = str(starter("--list", starter.list, "--dry-run", "--json", code=0).object["batch_id"])
    asyncio.run(stock.batch(batch_id, asyncio.run(stock.list())))
    stock.age(1)
    starter("purge", batch_id, "--yes", code=0)
    said = starter("--list", starter.list, code=0)
    assert "All 2 recipients were mailed" in said.out
    assert f"purged on {datetime.now():%Y-%m-%d}" in said.out
    assert starter("--list", starter.list, "--json", code=0).object["report"] == ""


def test_a_batch_that_has_not_ended_is_refused_and_nothing_is_removed(starter: Starter, stock: Stock) -> None:
    snapshot = asyncio.run(stock.list())
    asyncio.run(stock.batch("ended", snapshot))
    asyncio.run(stock.batch("runs", snapshot, ended=False))
    stock.age(1)
    before = asyncio.run(stock.store.names("batches"))
    said = starter("purge", "ended", "runs", "--yes", code=2)
    assert "Batch runs has not ended" in said.error
    assert "has no batch other" in starter("purge", "ended", "other", "--yes", code=2).error
    assert asyncio.run(stock.store.names("batches")) == before


def test_list_and_message_stay_while_another_batch_needs_them(starter: Starter, stock: Stock) -> None:
    snapshot = asyncio.run(stock.list())
    asyncio.run(stock.batch("first", snapshot))
    asyncio.run(stock.batch("runs", snapshot, ended=False))
    stock.age(400)
    starter("purge", "--older-than", "90d", "--yes", code=0)
    assert asyncio.run(stock.left("first")) == REMAINS
    assert len(asyncio.run(stock.left("runs"))) == 5
    assert asyncio.run(stock.has(snapshot))
    assert asyncio.run(stock.has_message())


def test_a_list_read_within_the_hour_stays_for_whoever_is_starting_a_batch(
    starter: Starter, stock: Stock
) -> None:
    snapshot = asyncio.run(stock.list())
    asyncio.run(stock.batch("first", snapshot))
    stock.age(100)
    asyncio.run(take_snapshot(stock.store, stock.folder / "list.csv"))
    said = starter("purge", "first", "--yes", "--json", code=0)
    assert said.object["later"] == 1
    assert asyncio.run(stock.has(snapshot))
    stock.age(1)
    assert starter("purge", "first", "--yes", "--json", code=0).object["lists"] == 1
    assert not asyncio.run(stock.has(snapshot))


def test_only_what_ended_long_enough_ago_goes(starter: Starter, stock: Stock) -> None:
    snapshot, other = asyncio.run(stock.list()), asyncio.run(stock.list("email\nc@example.com\n"))
    asyncio.run(stock.batch("old", snapshot))
    asyncio.run(stock.batch("new", other))
    stock.age(91)
    stock.age(89, "batches/new")
    said = starter("purge", "--older-than", "90d", "--yes", "--json", code=0)
    assert said.object["batches"] == ["old"]
    assert len(asyncio.run(stock.left("new"))) == 8
    assert not asyncio.run(stock.has(snapshot))
    assert asyncio.run(stock.has(other))


def test_a_list_that_nobody_mailed_goes_when_it_was_read_long_enough_ago(
    starter: Starter, stock: Stock
) -> None:
    snapshot = asyncio.run(stock.list())
    (Path(str(stock.store)) / manifest_name(snapshot.id)).unlink()
    stock.age(10)
    starter("purge", "--older-than", "11d", "--yes", code=0)
    assert asyncio.run(stock.has(snapshot))
    starter("purge", "--older-than", "9d", "--yes", code=0)
    assert not asyncio.run(stock.has(snapshot)), "what a killed reader left behind, too"


def test_what_admins_may_still_be_told_with_stays(starter: Starter, stock: Stock) -> None:
    asyncio.run(stock.batch("spring", asyncio.run(stock.list()), told=False))
    stock.age(1)
    starter("purge", "spring", "--yes", code=0)
    assert asyncio.run(stock.left("spring")) == REMAINS | {"failures.json"}
    assert asyncio.run(stock.has_message())
    stock.age(31)
    starter("purge", "--older-than", "1d", "--yes", code=0)
    assert asyncio.run(stock.left("spring")) == REMAINS
    assert not asyncio.run(stock.has_message())


def test_the_message_stays_for_the_admins_of_a_batch_purged_earlier(starter: Starter, stock: Stock) -> None:
    asyncio.run(stock.batch("waits", asyncio.run(stock.list()), told=False))
    stock.age(1)
    starter("purge", "waits", "--yes", code=0)
    asyncio.run(stock.batch("told", asyncio.run(stock.list())))
    stock.age(1)
    starter("purge", "told", "--yes", code=0)
    assert asyncio.run(stock.has_message())


def test_a_purge_that_was_killed_is_finished_by_the_next(starter: Starter, stock: Stock) -> None:
    snapshot = asyncio.run(stock.list())
    asyncio.run(stock.batch("spring", snapshot, purged=datetime(2031, 4, 1, tzinfo=UTC)))
    stock.age(100)
    (Path(str(stock.store)) / manifest_name(snapshot.id)).unlink()
    starter("purge", "--older-than", "90d", "--yes", code=0)
    assert asyncio.run(stock.left("spring")) == REMAINS
    assert not asyncio.run(stock.has(snapshot))
    assert "nothing to remove" in starter("purge", "--older-than", "90d", code=0).out


def test_without_a_yes_and_with_dry_run_nothing_is_removed(starter: Starter, stock: Stock) -> None:
    asyncio.run(stock.batch("spring", asyncio.run(stock.list())))
    stock.age(100)
    before = asyncio.run(stock.store.names("batches"))
    assert "--yes" in starter("purge", "spring", code=2).error
    found = starter("purge", "--older-than", "1d", "--dry-run", "--json", code=0).object
    assert found["status"] == "dry-run"
    assert found["batches"] == ["spring"]
    assert asyncio.run(stock.store.names("batches")) == before
    starter("purge", "--older-than", "1d", "--yes", "--json", code=0)
    assert len(before) - len(asyncio.run(stock.store.names("batches"))) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give either the batches to purge or --older-than"),
        (["b", "--older-than", "1d"], "Give either the batches to purge or --older-than"),
        (["--older-than", "soon"], "--older-than 'soon' cannot be used: a duration is"),
        (["--never"], "No such option: --never: see python starter.py purge --help"),
    ],
)
def test_what_cannot_be_meant_is_refused(starter: Starter, arguments: list[str], sentence: str) -> None:
    assert sentence in starter("purge", *arguments, code=2).error


def test_a_batch_named_by_a_program_is_purged_by_that_name(starter: Starter, stock: Stock) -> None:
    asyncio.run(stock.batch("spring/2031 #1", asyncio.run(stock.list())))
    stock.age(1)
    starter("purge", "spring/2031 #1", "--yes", code=0)
    assert asyncio.run(stock.left("spring/2031 #1")) == REMAINS


def test_a_batch_that_lost_its_cut_is_not_purged(starter: Starter, stock: Stock) -> None:
    """Without it nothing could bear the mark."""
    asyncio.run(stock.batch("spring", asyncio.run(stock.list())))
    asyncio.run(stock.store.delete(cut_name("spring")))
    assert "has lost its cut.json" in starter("purge", "spring", "--yes", code=2).error


def test_files_that_killed_writers_left_behind_go_after_a_day(starter: Starter, stock: Stock) -> None:
    asyncio.run(stock.batch("spring", asyncio.run(stock.list())))
    partial = Path(str(stock.store)) / ".partial"
    (partial / "old").write_bytes(b"x")
    stock.age(2)
    (partial / "new").write_bytes(b"x")
    starter("purge", "spring", "--yes", code=0)
    assert [path.name for path in partial.iterdir()] == ["new"]


async def test_whom_a_purged_batch_mailed_is_not_known_but_that_it_did_is(stock: Stock) -> None:
    snapshot, other = await stock.list(), await stock.list("email\nada@example.com\nnew@example.com\n")
    await stock.batch("spring", snapshot, purged=datetime(2031, 4, 1, tzinfo=UTC))
    found = await mailed_before(stock.store, other, stock.message.id, "summer")
    assert (found.recipients, found.purged) == (0, ("spring",))
    found = await mailed_before(stock.store, snapshot, stock.message.id, "summer")
    assert (found.recipients, found.batches, found.purged) == (2, ("spring",), ())


async def test_only_a_young_receipt_is_read_to_see_whether_admins_were_told(stock: Stock) -> None:
    await stock.batch("spring", await stock.list())
    (Path(str(stock.store)) / receipt_name("spring")).write_bytes(b"damaged")
    stock.age(400)
    (held,) = await held_batches(stock.store, datetime.now(UTC))
    assert not held.tells
    held.check_may_go()
    with pytest.raises(RefusedError):
        held._replace(ended=None).check_may_go()
    assert held.ended is not None
    assert held.ended < datetime.now(UTC) - timedelta(days=399)


class DiedError(Exception):
    """The process is gone."""


class DyingStore(Store):
    """A store whose process dies after so many changes."""

    def __init__(self, location: Path, changes: int) -> None:
        super().__init__(location)
        self.left = changes

    async def put(self, name: str, content: bytes) -> None:
        self._one_more()
        await super().put(name, content)

    async def delete(self, name: str) -> None:
        self._one_more()
        await super().delete(name)

    def _one_more(self) -> None:
        if not self.left:
            raise DiedError
        self.left -= 1


async def purge_all(store: Store) -> None:
    now = datetime.now(UTC)
    held = await held_batches(store, now)
    await purge(store, held, now, lambda _: None)
    folders = {one.folder for one in held}
    await remove_unused(store, await unused(store, held, folders, now, None), lambda _: None)


async def test_wherever_a_purge_dies_nothing_is_half_known_and_the_next_finishes(stock: Stock) -> None:
    root = Path(str(stock.store))
    changes = 0
    while True:
        snapshot = await stock.list("email\n" + "".join(f"{n}@example.com\n" for n in range(3)))
        await stock.batch("spring", snapshot)
        stock.age(1)
        whole = await stock.left("spring")
        blocks = len(await stock.store.names(f"snapshots/{snapshot.id}/recipients"))
        try:
            await purge_all(DyingStore(root, changes))
        except DiedError:
            died = True
        else:
            died = False
        left = await stock.left("spring")
        assert left >= REMAINS
        (held,) = await held_batches(stock.store, datetime.now(UTC))
        assert held.is_purged or left == whole, "nothing goes before the mark"
        has_manifest = await stock.store.find(manifest_name(snapshot.id)) is not None
        blocks_left = len(await stock.store.names(f"snapshots/{snapshot.id}/recipients"))
        assert blocks_left == blocks or not has_manifest, "half a list is not taken for whole"
        await purge_all(stock.store)
        assert await stock.left("spring") == REMAINS
        assert not await stock.has(snapshot)
        if not died:
            break
        changes += 1
    assert changes >= 8

"""Retention: what is personal in a batch is removed from the store; that it was, and what it came to, stays.

Of a purged batch remain its receipt (counts), its cut (ids, and the mark `purged`) and the ledgers of its
admins' mail: nobody's address, and nothing of who got which outcome. The mark is written first: from then on
nobody is mailed by this batch again, whatever an operator resets. Killed on the way, the next purge finishes.

Its list and message go with the last batch that needs them, but not within an hour of being read: whoever
starts a batch with them at this moment has opened none yet.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from batchmail.batch.batch_cut import CUT, BatchCut, cut_in
from batchmail.batch.orders import Order, command
from batchmail.batch.places import BATCHES
from batchmail.errors import RefusedError
from batchmail.lists.snapshot import SNAPSHOTS, manifest_name
from batchmail.message.source import MESSAGES, message_name
from batchmail.report.cut import load_cut
from batchmail.report.failures import FAILURES
from batchmail.report.receipt import RECEIPT, load_receipt
from batchmail.store import Entry, Store

T = TypeVar("T")

BEGINNING = timedelta(hours=1)
"""How long a list or message may have been read before its batch is opened."""

TELLING = timedelta(days=30)
"""How long the mail to the admins may be on its way; it needs the message and the first failures."""

_KEPT = (CUT, RECEIPT)
_NOTICE = "notice/"
_AT_ONCE = 50


class Held(NamedTuple):
    """A batch in the store."""

    id: str
    folder: str
    """Of all that is the batch's alone."""
    cut: BatchCut | None
    ended: datetime | None
    """When its receipt was written; None while it has none."""
    tells: bool
    """Its admins may yet have to be told."""
    objects: tuple[Entry, ...]

    @property
    def is_purged(self) -> bool:
        """Whether it bears the mark; something may be left all the same."""
        return self.cut is not None and self.cut.purged is not None

    @property
    def personal(self) -> list[Entry]:
        """What a purge removes."""
        kept = (*_KEPT, FAILURES) if self.tells else _KEPT
        prefix = f"{self.folder}/"
        return [
            entry
            for entry in self.objects
            if (name := entry.name.removeprefix(prefix)) not in kept and not name.startswith(_NOTICE)
        ]

    def check_may_go(self) -> None:
        """Raise RefusedError where it must not be purged."""
        if self.ended is None:
            raise RefusedError(
                f"Batch {self.id} has not ended: it is purged when it has; to end it, "
                f"{command(Order.CANCEL, self.id)}."
            )
        if self.cut is None:
            raise RefusedError(f"Batch {self.id} has lost its {CUT}: put it back from a backup first.")


class Unused(NamedTuple):
    """What no batch needs any more."""

    lists: dict[str, tuple[Entry, ...]]
    """The objects of each snapshot, by its id."""
    messages: tuple[Entry, ...]
    recent: int
    """How many more lists and messages are not needed, but were read within the hour."""

    @property
    def objects(self) -> list[Entry]:
        """All of them."""
        return [*(entry for entries in self.lists.values() for entry in entries), *self.messages]


async def held_batches(store: Store, now: datetime) -> list[Held]:
    """Every batch that the store knows. Raises StoreError."""
    objects: dict[str, list[Entry]] = defaultdict(list)
    for entry in await store.entries(BATCHES):
        objects[entry.name.split("/")[1]].append(entry)
    held: list[Held] = []
    for some in _lots(list(objects.items())):
        held += await asyncio.gather(*(_held(store, name, tuple(found), now) for name, found in some))
    return held


async def unused(
    store: Store, batches: Iterable[Held], going: Collection[str], now: datetime, age: timedelta | None
) -> Unused:
    """Lists and messages that only the batches in the folders `going` need; with an `age` also those that
    nobody needs and that were not read for so long. Raises StoreError."""
    needed: set[str] = set()
    freed: set[str] = set()
    for held in batches:
        if held.cut is not None:
            snapshot, message = manifest_name(held.cut.snapshot), message_name(held.cut.message)
            if held.tells:
                needed.add(message)
            if held.folder in going:
                freed |= {snapshot, message}
            elif not held.is_purged:
                needed |= {snapshot, message}

    def least_age(name: str) -> timedelta | None:
        if name in needed:
            return None
        return BEGINNING if name in freed else age and max(age, BEGINNING)

    lists: dict[str, list[Entry]] = defaultdict(list)
    for entry in await store.entries(SNAPSHOTS):
        lists[entry.name.split("/")[1]].append(entry)
    read = {manifest_name(one): max(entry.written for entry in found) for one, found in lists.items()}
    messages = await store.entries(MESSAGES)
    read |= {entry.name: entry.written for entry in messages}
    free = {name for name in read if (least := least_age(name)) and read[name] < now - least}
    return Unused(
        {one: tuple(found) for one, found in lists.items() if manifest_name(one) in free},
        tuple(entry for entry in messages if entry.name in free),
        recent=len((read.keys() & freed) - needed - free),
    )


async def purge(store: Store, batches: Iterable[Held], now: datetime, gone: Callable[[int], None]) -> None:
    """Mark these batches and remove what is personal in them; `gone` hears of each lot of objects removed.

    Raises RefusedError before anything is done where one of them has not ended, StoreError.
    """
    chosen = list(batches)
    for held in chosen:
        held.check_may_go()
    for held in chosen:
        if held.cut is not None and not held.is_purged:
            marked = held.cut.model_copy(update={"purged": now})
            await store.put(f"{held.folder}/{CUT}", marked.model_dump_json().encode())
        await _remove(store, held.personal, gone)


async def remove_unused(store: Store, found: Unused, gone: Callable[[int], None]) -> None:
    """Remove these lists and messages. Raises StoreError."""
    manifests = {manifest_name(one) for one in found.lists}
    # While a list has its manifest, whoever reads it again takes it for whole.
    await _remove(store, [entry for entry in found.objects if entry.name in manifests], gone)
    await _remove(store, [entry for entry in found.objects if entry.name not in manifests], gone)


async def _remove(store: Store, objects: Sequence[Entry], gone: Callable[[int], None]) -> None:
    for some in _lots(objects):
        await asyncio.gather(*(store.delete(entry.name) for entry in some))
        gone(len(some))


def _lots(everything: Sequence[T]) -> Iterator[Sequence[T]]:
    return (everything[first : first + _AT_ONCE] for first in range(0, len(everything), _AT_ONCE))


async def _held(store: Store, folder: str, objects: tuple[Entry, ...], now: datetime) -> Held:
    place = f"{BATCHES}/{folder}"
    cut = await load_cut(store, cut_in(folder))
    receipt = next((entry for entry in objects if entry.name == f"{place}/{RECEIPT}"), None)
    batch_id = cut.batch if cut and cut.batch else folder
    tells = False
    if cut is not None and receipt is not None and receipt.written > now - TELLING:
        result = await load_receipt(store, batch_id)
        tells = result is not None and not result.admin_notified
    return Held(batch_id, place, cut, receipt.written if receipt else None, tells, objects)

"""Who of this list this very message went to before, in another batch of the store.

One row mended in a list makes a new list, and so a new batch: without this check everybody else would be
mailed twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from batchmail.batch.batch_cut import cut_in
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.outcomes import Outcome
from batchmail.batch.places import BATCHES, folder_name
from batchmail.errors import MissingObjectError
from batchmail.lists.snapshot import Snapshot, all_recipients, load_snapshot, read_recipients
from batchmail.report.cut import load_cut
from batchmail.report.endings import load_outcomes
from batchmail.store import Store

NOT_MAILED = (Outcome.REJECTED, Outcome.EXPIRED, Outcome.SUPPRESSED)


class MailedBefore(NamedTuple):
    """`recipients` of the list, how many; the batches that mailed them, or may have."""

    recipients: int
    batches: tuple[str, ...]
    purged: tuple[str, ...] = ()
    """Batches of this message that were purged: whom they mailed is not known any more."""


async def mailed_before(store: Store, snapshot: Snapshot, message_id: str, batch_id: str) -> MailedBefore:
    """Recipients of `snapshot` to whom another batch than `batch_id` sent this message, or may have.

    Who was begun counts, unless an outcome says that no mail went out. Only a hash of 64 bits an address is
    held in memory, and of batches of other messages nothing is read but their cut. Raises StoreError.
    """
    left: set[int] | None = None
    total, found, purged = 0, [], []
    for folder in await store.folders(BATCHES):
        cut = await load_cut(store, cut_in(folder)) if folder != folder_name(batch_id) else None
        if cut is None or cut.message != message_id:
            continue
        name = cut.batch or folder
        if cut.purged is not None and cut.snapshot != snapshot.id:
            purged.append(name)
            continue
        if left is None:
            left = {_key(one.address) async for block in all_recipients(store, snapshot) for one in block}
            total = len(left)
        before = len(left)
        if cut.purged is not None:
            left.clear()  # of this very list, and nothing tells any more whom it left out
        else:
            await _take_away(left, store, f"{BATCHES}/{folder}", cut.snapshot)
        if len(left) < before:
            found.append(name)
    return MailedBefore(total - len(left or ()), tuple(found), tuple(purged))


async def _take_away(left: set[int], store: Store, folder: str, snapshot_id: str) -> None:
    """Take from `left` whom the batch in `folder` mailed, or may have."""
    try:
        other = await load_snapshot(store, snapshot_id)
    except MissingObjectError:
        return
    for row_range in await store.folders(f"{folder}/opened"):
        first, last = map(int, row_range.split("-"))
        outcomes = f"{folder}/outcomes/{row_range}"
        records = [await load_outcomes(store, f"{outcomes}/{name}") for name in await store.names(outcomes)]
        spared = rows_not_mailed(records)
        for row, one in enumerate(await read_recipients(store, other, first, last), first):
            if row not in spared:
                left.discard(_key(one.address))


def rows_not_mailed(records: Iterable[LedgerRecord]) -> set[int]:
    """The rows of the snapshot (from 1) of whom the outcome files of one slice say that no mail went out.

    Whoever was once in doubt may have been mailed, and so may whom any of the files calls sent.
    """
    spared: set[int] = set()
    mailed: set[int] = set()
    for record in records:
        for one in Ledger.read(record).settled():
            not_mailed = one.outcome in NOT_MAILED and not one.in_doubt
            (spared if not_mailed else mailed).add(record.first + one.row)
    return spared - mailed


def _key(address: str) -> int:
    """Addresses are compared as SeenAddresses does; the hash is this process's own, and never leaves it."""
    return hash(address.lower())

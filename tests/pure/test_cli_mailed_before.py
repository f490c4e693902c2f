"""Whoever had this very message in another batch is counted, before anybody is mailed twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.batch_cut import BatchCut, cut_name
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.outcomes import NO_CAUSE, Outcome
from batchmail.cli.mailed_before import mailed_before, rows_not_mailed
from batchmail.errors import StoreError
from batchmail.lists.snapshot import Snapshot
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.store import Store

MESSAGE = "m" * 32


async def snapshot_of(store: Store, folder: Path, *addresses: str) -> Snapshot:
    path = folder / "list.csv"
    path.write_text("email\n" + "".join(f"{address}\n" for address in addresses))
    return (await take_snapshot(store, path)).snapshot


async def begun(
    store: Store, batch_id: str, snapshot: Snapshot, first: int, last: int, message: str = MESSAGE
) -> None:
    cut = BatchCut(snapshot=snapshot.id, message=message, slice_size=last - first + 1)
    await store.put(cut_name(batch_id), cut.model_dump_json().encode())
    await store.put(f"batches/{batch_id}/opened/{first}-{last}/nonce", b"")


def outcomes(first: int, *endings: Outcome | None, marked: bool = False) -> LedgerRecord:
    """What an outcome file says of the rows from `first` on; None: nothing."""
    ledger = Ledger.of_rows(first, first + len(endings) - 1)
    for row, ending in enumerate(endings):
        if ending is None:
            continue
        if marked:
            ledger.mark(row)
        ledger.name(row)
        ledger.settle(row, ending, NO_CAUSE)
    return ledger.outcomes()


async def settled(store: Store, batch_id: str, row_range: str, record: LedgerRecord) -> None:
    await store.put(f"batches/{batch_id}/outcomes/{row_range}/hash", record.model_dump_json().encode())


async def test_a_list_with_one_row_mended_finds_everybody_else(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    old = await snapshot_of(store, tmp_path, "a@example.com", "b@example.com", "wrong@example.com")
    new = await snapshot_of(store, tmp_path, "A@example.com", "b@example.com", "right@example.com")
    await begun(store, "batch-1", old, 1, 3)
    found = await mailed_before(store, new, MESSAGE, "batch-2")
    assert (found.recipients, found.batches) == (2, ("batch-1",))


async def test_another_message_and_the_batch_itself_do_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = await snapshot_of(store, tmp_path, "a@example.com")
    await begun(store, "batch-1", snapshot, 1, 1)
    await begun(store, "batch-2", snapshot, 1, 1, message="n" * 32)
    assert (await mailed_before(store, snapshot, MESSAGE, "batch-1")).recipients == 0


async def test_slices_that_were_never_begun_do_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = await snapshot_of(store, tmp_path, *(f"{n}@example.com" for n in range(10)))
    await begun(store, "batch-1", snapshot, 4, 6)
    assert (await mailed_before(store, snapshot, MESSAGE, "new")).recipients == 3


async def test_whom_an_outcome_calls_not_mailed_does_not_count(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = await snapshot_of(store, tmp_path, *(f"{n}@example.com" for n in range(6)))
    await begun(store, "batch-1", snapshot, 2, 6)
    record = outcomes(2, Outcome.SENT, Outcome.REJECTED, Outcome.EXPIRED, Outcome.SUPPRESSED, None)
    await settled(store, "batch-1", "2-6", record)
    assert (await mailed_before(store, snapshot, MESSAGE, "new")).recipients == 2


async def test_somebody_mailed_by_two_batches_counts_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = await snapshot_of(store, tmp_path, "a@example.com", "b@example.com")
    await begun(store, "batch-1", snapshot, 1, 2)
    await begun(store, "batch-2", snapshot, 1, 1)
    found = await mailed_before(store, snapshot, MESSAGE, "new")
    assert (found.recipients, found.batches) == (2, ("batch-1",))


async def test_people_whose_names_only_fold_alike_are_different_people(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    old = await snapshot_of(store, tmp_path, "STRASSE@example.com")
    new = await snapshot_of(store, tmp_path, "strasse@example.com", "straße@example.com")
    await begun(store, "batch-1", old, 1, 1)
    assert (await mailed_before(store, new, MESSAGE, "batch-2")).recipients == 1


async def test_of_a_batch_of_another_message_nothing_but_its_cut_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = await snapshot_of(store, tmp_path, "a@example.com")
    await begun(store, "batch-1", snapshot, 1, 1, message="n" * 32)
    await store.put("batches/batch-1/outcomes/1-1/hash", b"nothing that could be read")
    await store.put("batches/batch-1/opened/no-range/nonce", b"")
    assert (await mailed_before(store, snapshot, MESSAGE, "batch-2")).recipients == 0


async def test_an_outcome_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    snapshot = await snapshot_of(store, tmp_path, "a@example.com")
    await begun(store, "batch-1", snapshot, 1, 1)
    await store.put("batches/batch-1/outcomes/1-1/hash", b"{")
    with pytest.raises(StoreError, match=r"outcomes/1-1/hash in the store .* is damaged"):
        await mailed_before(store, snapshot, MESSAGE, "batch-2")


def test_a_refusal_after_a_doubt_may_have_been_a_mail() -> None:
    assert rows_not_mailed([outcomes(5, Outcome.REJECTED)]) == {5}
    assert rows_not_mailed([outcomes(5, Outcome.REJECTED, marked=True)]) == set()


@given(
    st.lists(
        st.lists(
            st.sampled_from([None, Outcome.SENT, Outcome.REJECTED, Outcome.UNKNOWN]), min_size=4, max_size=4
        ),
        max_size=3,
    )
)
def test_nobody_whom_any_file_calls_mailed_is_spared(files: list[list[Outcome | None]]) -> None:
    spared = rows_not_mailed(outcomes(1, *file) for file in files)
    for row in range(1, 5):
        said = {file[row - 1] for file in files} - {None}
        assert (row in spared) == (said == {Outcome.REJECTED})

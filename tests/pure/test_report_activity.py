"""write_report: what a finished batch leaves in the store, once and however often it is run."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from batchmail.batch.options import ListFacts
from batchmail.batch.result import BatchResult, Status
from batchmail.errors import MissingObjectError, StoreError
from batchmail.report.failures import Failure, failures_name, load_failures
from batchmail.report.receipt import load_receipt, receipt_name, save_receipt
from batchmail.store import Store
from tests.pure.finished_batch import (
    BATCH,
    NO_MAILBOX,
    SENT,
    SENT_IN_DOUBT,
    SUPPRESSED,
    UNKNOWN,
    FinishedBatch,
)


async def _batch(folder: Path) -> FinishedBatch:
    batch = await FinishedBatch.over(
        folder, ["ann@example.com", "bob@example.com", "ANN@example.com", "nobody", "cid@example.com"]
    )
    await batch.file(1, [SENT, NO_MAILBOX, SENT_IN_DOUBT])
    return batch


async def test_the_result_tells_counts_time_and_where_the_report_is(tmp_path: Path) -> None:
    batch = await _batch(tmp_path)
    result = await batch.report()
    assert result == BatchResult(
        batch_id=BATCH,
        status=Status.COMPLETED,
        total=3,
        sent=2,
        rejected=1,
        duplicates_in_list=1,
        invalid_rows=1,
        in_doubt_resent=1,
        seconds=90.0,
        report=str(batch.store.root / "batches" / BATCH / "report.csv"),
    )
    assert Path(result.report).stat().st_mode & 0o777 == 0o600
    assert await load_receipt(batch.store, BATCH) == result


async def test_the_counts_are_those_of_the_batchs_own_list(tmp_path: Path) -> None:
    """Two lists with the same recipients have one snapshot, and may have other rows beside them."""
    batch = await _batch(tmp_path)
    result = await batch.report(facts=ListFacts(name="mended.csv", duplicates=0, invalid_rows=7))
    assert (result.total, result.duplicates_in_list, result.invalid_rows) == (3, 0, 7)


async def test_a_cancelled_batch_counts_who_was_not_mailed(tmp_path: Path) -> None:
    batch = await FinishedBatch.over(tmp_path, ["ann@example.com", "bob@example.com"])
    await batch.file(1, [SENT, SUPPRESSED])
    result = await batch.report(status=Status.CANCELLED)
    assert (result.status, result.sent, result.suppressed) == (Status.CANCELLED, 1, 1)


async def test_run_again_it_leaves_the_same_and_keeps_that_the_admins_were_told(tmp_path: Path) -> None:
    batch = await _batch(tmp_path)
    result = await batch.report()
    table = await batch.table()
    (batch.store.root / receipt_name(BATCH)).unlink()
    assert await batch.report() == result
    assert await batch.table() == table

    told = result.model_copy(update={"admin_notified": True})
    await save_receipt(batch.store, told)
    assert await batch.report() == told


async def test_a_receipt_of_other_counts_is_replaced(tmp_path: Path) -> None:
    batch = await _batch(tmp_path)
    await save_receipt(batch.store, (await batch.report()).model_copy(update={"sent": 1, "unknown": 1}))
    assert (await batch.report()).sent == 2
    receipt = await load_receipt(batch.store, BATCH)
    assert receipt is not None
    assert receipt.sent == 2


@pytest.mark.parametrize(("by_the_workflow", "reported"), [(0, 1), (5, 5)])
async def test_resends_are_never_fewer_than_any_count_of_them(
    tmp_path: Path, by_the_workflow: int, reported: int
) -> None:
    batch = await FinishedBatch.over(tmp_path, ["ann@example.com", "bob@example.com"])
    await batch.file(1, [SENT_IN_DOUBT, UNKNOWN])
    assert (await batch.report(resent=by_the_workflow)).in_doubt_resent == reported


async def test_who_is_held_in_doubt_was_not_sent_again(tmp_path: Path) -> None:
    batch = await FinishedBatch.over(tmp_path, ["ann@example.com"])
    await batch.file(1, [UNKNOWN])
    assert (await batch.report()).in_doubt_resent == 0


async def test_a_missing_outcome_file_is_waited_for_and_nothing_is_written(tmp_path: Path) -> None:
    batch = await _batch(tmp_path)
    (batch.store.root / batch.files[0]).unlink()
    with pytest.raises(MissingObjectError, match="has no batches/batch-1/outcomes/1-3/0"):
        await batch.report()
    assert await load_receipt(batch.store, BATCH) is None
    assert await batch.store.find(f"batches/{BATCH}/report.csv") is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{", "not an outcome file"),
        (b'{"v": 2, "first": 1, "states": ""}', "not an outcome file"),
        (b'{"v": 1, "first": 1, "states": "not packed"}', "cannot be unpacked"),
        (b'{"v": 1, "first": 1, "states": "\xc3\xa4"}', "cannot be unpacked"),
        (
            b'{"v": 1, "first": 1, "states": "%s"}'.replace(
                b"%s", base64.b64encode(zlib.compress(b"SSS")[:-3])
            ),
            "cannot be unpacked",
        ),
        (b'{"v": 1, "first": 0, "states": "%s"}', "rows 0 to 2 of 3"),
        (b'{"v": 1, "first": 2, "states": "%s"}', "rows 2 to 4 of 3"),
    ],
)
async def test_a_damaged_outcome_file_is_named_and_nothing_is_written(
    tmp_path: Path, content: bytes, what: str
) -> None:
    batch = await _batch(tmp_path)
    content = content.replace(b"%s", base64.b64encode(zlib.compress(b"SSS")))
    await batch.store.put(batch.files[0], content)
    with pytest.raises(StoreError, match=what) as caught:
        await batch.report()
    assert batch.files[0] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert await batch.store.find(f"batches/{BATCH}/report.csv") is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"batch_id": "batch-1"}', b"[]"])
async def test_a_damaged_receipt_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    store = Store(tmp_path)
    await store.put(receipt_name(BATCH), content)
    with pytest.raises(StoreError, match=r"receipt.json in the store .* is not the receipt of this batch: "):
        await load_receipt(store, BATCH)


async def test_a_receipt_of_another_batch_is_not_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = BatchResult(batch_id="other", status=Status.COMPLETED, total=0)
    await store.put(receipt_name(BATCH), other.model_dump_json().encode())
    with pytest.raises(StoreError, match="not the receipt of this batch"):
        await load_receipt(store, BATCH)


async def test_a_batch_without_a_receipt_has_not_ended(tmp_path: Path) -> None:
    assert await load_receipt(Store(tmp_path), BATCH) is None


async def test_the_first_ten_failures_are_kept_without_addresses(tmp_path: Path) -> None:
    batch = await FinishedBatch.over(tmp_path, [f"user{n}@example.com" for n in range(30)])
    await batch.file(1, [SENT, NO_MAILBOX] * 15)
    await batch.report()
    failures = await load_failures(batch.store, BATCH)
    assert [failure.line for failure in failures] == list(range(3, 23, 2))
    assert failures[0] == Failure(
        line=3,
        outcome=NO_MAILBOX.outcome,
        reason="the mailbox does not exist (550 5.1.1 while sending RCPT TO)",
    )
    assert b"@" not in await batch.store.get(failures_name(BATCH))


async def test_damaged_failures_keep_nobody_from_being_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert await load_failures(store, BATCH) == ()
    await store.put(failures_name(BATCH), b"[{]")
    assert await load_failures(store, BATCH) == ()


async def test_it_heartbeats_from_its_beginning(tmp_path: Path) -> None:
    batch = await FinishedBatch.over(tmp_path, ["user1@example.com"])
    await batch.report()
    assert batch.beats

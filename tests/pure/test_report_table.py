"""report.csv: every recipient once, in order, with the truth; and nothing in it that acts."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchmail.batch.outcomes import FINAL_OUTCOMES, NO_CAUSE, Cause, Outcome, Stage
from batchmail.batch.recipients import Recipient
from batchmail.lists.snapshot import manifest_name
from batchmail.relay.reasons import reason
from batchmail.report.endings import Ending, Endings
from batchmail.report.table import COLUMNS, Table, report_name
from tests.pure.finished_batch import (
    BATCH,
    FULL,
    NO_MAILBOX,
    SENT,
    SENT_IN_DOUBT,
    SUPPRESSED,
    UNKNOWN,
    FinishedBatch,
    ledger_of,
)


async def test_every_recipient_has_a_row_in_the_order_of_the_list(tmp_path: Path) -> None:
    batch = await FinishedBatch.over(tmp_path, [f"user{n}@example.com" for n in range(1, 6)])
    await batch.file(3, [SENT_IN_DOUBT, UNKNOWN, FULL])
    await batch.file(1, [SENT, NO_MAILBOX])
    await batch.report()
    assert [list(row.values()) for row in await batch.table()] == [
        ["2", "user1@example.com", "sent", "", "", "", "no", ""],
        [
            *("3", "user2@example.com", "rejected", "550", "5.1.1"),
            *("the mailbox does not exist (550 5.1.1 while sending RCPT TO)", "no", ""),
        ],
        [
            *("4", "user3@example.com", "sent", "", ""),
            *("delivered to the relay, possibly more than once", "yes", ""),
        ],
        [
            *("5", "user4@example.com", "unknown", "", ""),
            *("the mail may have been delivered, or may yet be", "yes", ""),
        ],
        [
            *("6", "user5@example.com", "expired", "452", "4.2.2"),
            *("the mailbox is full (452 4.2.2 after the end of the message)", "no", ""),
        ],
    ]


async def test_an_empty_snapshot_has_a_report_of_its_header(tmp_path: Path) -> None:
    batch = await FinishedBatch.over(tmp_path, ["ann@example.com"])
    batch.snapshot = batch.snapshot.model_copy(update={"id": "empty", "total": 0})
    await batch.store.put(manifest_name("empty"), batch.snapshot.model_dump_json().encode())
    result = await batch.report()
    assert (result.total, result.everyone_sent) == (0, True)
    assert await batch.store.get(report_name(BATCH)) == (",".join(COLUMNS) + "\n").encode()


@pytest.mark.parametrize(
    ("plain", "doubtful"), [(SENT, SENT_IN_DOUBT), (SENT, UNKNOWN), (NO_MAILBOX, SENT_IN_DOUBT)]
)
@pytest.mark.parametrize("doubtful_first", [True, False])
def test_of_two_files_that_speak_of_one_row_the_doubtful_one_is_believed(
    plain: Ending, doubtful: Ending, doubtful_first: bool
) -> None:
    endings = Endings(1)
    for ending in (doubtful, plain) if doubtful_first else (plain, doubtful):
        endings.take(ledger_of(1, [ending]).outcomes())
    assert endings.kinds[endings.places(1, 1)[0]] == doubtful


def test_a_part_handed_back_and_its_rest_come_to_one_slice() -> None:
    endings = Endings(3)
    endings.take(ledger_of(1, [SENT, None, NO_MAILBOX], "one").outcomes())
    endings.take(ledger_of(1, [None, FULL, None], "one", "two").outcomes())
    assert [endings.kinds[place] for place in endings.places(1, 3)] == [SENT, FULL, NO_MAILBOX]


async def test_a_row_that_no_file_speaks_of_is_unknown_and_never_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = await FinishedBatch.over(tmp_path, ["ann@example.com", "bob@example.com"])
    await batch.file(1, [None, SENT])
    result = await batch.report()
    assert (result.sent, result.unknown, result.total) == (1, 1, 2)
    lost = (await batch.table())[0]
    assert (lost["address"], lost["outcome"], lost["in_doubt"]) == ("ann@example.com", "unknown", "yes")
    assert "no outcome was recorded" in lost["reason"]
    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "1 recipients" in said.getMessage()
    assert "@" not in said.getMessage()


@pytest.mark.parametrize("begin", "=+-@\t\r\n＝＋－＠")
def test_no_cell_from_outside_begins_like_a_formula(begin: str) -> None:
    endings = Endings(1)
    endings.take(ledger_of(1, [NO_MAILBOX]).outcomes())
    text = (
        Table(endings, reason).write([Recipient(2, f"{begin}1@example.com", ())], {1: f"{begin}1+1"}).decode()
    )
    cells = next(iter(_rows(text)))
    assert cells[1] == f'"{begin}1"@example.com'
    assert cells[7][0] not in "=+-@\t\r\n＝＋－＠"
    assert cells[7].lstrip("'").endswith("1+1")


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8), st.text())
def test_a_table_is_read_back_cell_by_cell(addresses: list[str], said: str) -> None:
    addresses = [address.encode(errors="replace").decode() for address in addresses]
    endings = Endings(len(addresses))
    endings.take(ledger_of(1, [NO_MAILBOX] * len(addresses)).outcomes())
    block = [Recipient(n, address, ()) for n, address in enumerate(addresses, 2)]
    rows = _rows(Table(endings, reason).write(block, {1: said}).decode())
    assert [row[0] for row in rows] == [str(recipient.line) for recipient in block]
    for row, address in zip(rows, addresses, strict=True):
        assert len(row) == len(COLUMNS)
        assert row[1] == address or row[1][0] == '"'
    assert rows[0][7].isprintable()


def test_a_relay_cannot_drive_a_terminal_or_add_rows() -> None:
    endings = Endings(1)
    endings.take(ledger_of(1, [NO_MAILBOX]).outcomes())
    text = Table(endings, reason).write(
        [Recipient(2, "ann@example.com", ())], {1: 'no such user\r\n"x",y\x1b[2J\0'}
    )
    assert text.count(b"\n") == 1
    assert _rows(text.decode())[0][7] == 'no such user "x",y [2J'


_ENDINGS = st.builds(
    lambda outcome, stage, code, enhanced, in_doubt: Ending(
        outcome,
        NO_CAUSE
        if outcome in (Outcome.SENT, Outcome.UNKNOWN, Outcome.SUPPRESSED)
        else Cause(stage, code, enhanced),
        in_doubt or outcome is Outcome.UNKNOWN,
    ),
    st.sampled_from(FINAL_OUTCOMES),
    st.sampled_from([Stage.RCPT, Stage.DATA, Stage.DOT]),
    st.integers(400, 599),
    st.sampled_from(["", "5.1.1", "4.2.2"]),
    st.booleans(),
)


@settings(max_examples=60)
@given(st.lists(st.lists(_ENDINGS, min_size=1, max_size=6), min_size=1, max_size=5))
def test_counts_are_the_ledgers_whatever_the_slices(slices: list[list[Ending]]) -> None:
    endings = Endings(sum(map(len, slices)))
    counts: Counter[Outcome] = Counter()
    resent = 0
    first = 1
    for wanted in slices:
        ledger = ledger_of(first, wanted)
        endings.take(ledger.outcomes())
        counts.update(ledger.counts())
        resent += ledger.resent
        first += len(wanted)
    block = [Recipient(n + 1, f"user{n}@example.com", ()) for n in range(1, first)]
    rows = _rows(Table(endings, reason).write(block, {}).decode())
    assert endings.tally() == (counts, resent, 0)
    assert [(row[2], row[3], row[4], row[6]) for row in rows] == [
        (
            str(ending.outcome),
            str(ending.cause.code or ""),
            ending.cause.enhanced,
            "yes" if ending.in_doubt else "no",
        )
        for wanted in slices
        for ending in wanted
    ]


def test_memory_does_not_grow_with_the_list() -> None:
    total, block_rows, slice_rows = 100_000, 5_000, 20_000
    endings = Endings(total)
    slice_endings = [NO_MAILBOX if n % 10 == 0 else SENT for n in range(slice_rows)]
    block = [Recipient(n, f"user{n}@example.com", ()) for n in range(block_rows)]
    records = [ledger_of(first, slice_endings).outcomes() for first in range(1, total, slice_rows)]
    tracemalloc.start()
    try:
        endings = Endings(total)
        for record in records:
            endings.take(record)
        table = Table(endings, reason)
        for _ in range(0, total, block_rows):
            table.write(block, {})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Four bytes a row, twice while they are counted, and one block's text: the table itself would be 5 MB.
    assert most < 2_500_000
    assert table.row == total
    assert endings.tally().counts == {Outcome.SENT: 90_000, Outcome.REJECTED: 10_000}


def test_someone_not_mailed_because_of_a_cancel_is_no_failure() -> None:
    endings = Endings(3)
    endings.take(ledger_of(1, [SUPPRESSED, UNKNOWN, SENT]).outcomes())
    table = Table(endings, reason)
    table.write([Recipient(n, f"user{n}@example.com", ()) for n in (2, 3, 4)], {})
    assert [(failure.line, failure.outcome) for failure in table.failures] == [(3, Outcome.UNKNOWN)]


def _rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))

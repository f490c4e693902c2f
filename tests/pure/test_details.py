"""What Temporal's Web UI shows of a batch: markdown that is read as meant, and counts that are true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from batchmail.batch.details import as_markdown
from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome
from batchmail.batch.progress import Doing, Paused, PausedBy, Progress, Waiting

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def shown(**what: Any) -> str:
    return as_markdown(Progress(**{"doing": Doing.MAILING, "total": 12_345} | what))


def cells(markdown: str) -> dict[str, list[str]]:
    """The table's rows as a reader of markdown sees them, by their first cell."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    assert sum(token.type == "table_open" for token in tokens) == 1
    rows: list[list[str]] = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("td_open", "th_open"):
            rows[-1].append(token.content)
    return {row[0]: row[1:] for row in rows}


def test_every_final_outcome_has_a_row_also_where_nobody_has_it() -> None:
    table = cells(shown(settled={Outcome.SENT: 1_234, Outcome.REJECTED: 1}))
    assert table["sent"] == ["1,234", "10.0"]
    assert table["rejected"] == ["1", "0.1"]
    assert table["expired"] == ["0", "0"]
    assert table["not settled yet"] == ["11,110", "90.0"]
    assert table["**in all**"] == ["**12,345**", ""]
    assert not any("deferred" in row for row in table)


def test_a_batch_that_waits_says_for_what_and_since_when() -> None:
    out_of_reach = "the relay is out of reach"
    said = shown(
        doing=Doing.WAITING_TO_RETRY,
        deferred=1_000,
        as_of=NOON - timedelta(hours=1),
        next_try=NOON,
        slices_running=1,
        slices_left=2,
        waiting=(
            Waiting(what=out_of_reach, since=NOON),
            Waiting(what=out_of_reach, since=NOON - timedelta(days=1)),
        ),
    )
    assert "deferred, again at 12:00:00 UTC" in cells(said)
    assert "1 slice running, 2 to come" in said
    assert said.splitlines()[0].endswith("**, 2026-01-01 11:00:00 UTC")
    assert said.count(out_of_reach) == 1
    assert f"**Waiting** since 2025-12-31 12:00:00 UTC: {out_of_reach}" in said


def test_a_paused_batch_says_why_since_when_and_how_to_go_on() -> None:
    why = "143 of 600 recipients were rejected (23.9 %, limit 20 %)"
    said = shown(
        batch_id="spring news",
        list_name="emails.csv",
        as_of=NOON,
        paused=Paused(by=PausedBy.REJECTIONS, why=why, since=NOON),
    )
    assert said.startswith("**Paused: `emails.csv`**")
    assert f"**Paused** since 12:00:00 UTC: {why}" in said
    assert "`python starter.py resume 'spring news'` or the signal `resume`" in said
    assert "`python starter.py cancel 'spring news'`" in said


def test_a_batch_under_way_says_how_fast_it_goes_and_how_long_it_will_take() -> None:
    said = shown(total=30_000, settled={Outcome.SENT: 10_000}, took=timedelta(seconds=10))
    assert "1,000 a second on average, about 20 s left" in said
    slow = shown(total=100, settled={Outcome.SENT: 1}, took=timedelta(minutes=2))
    assert "0.5 a minute on average, about 3 h 18 min left" in slow
    over = shown(total=1, settled={Outcome.SENT: 1}, took=timedelta(seconds=1))
    assert "1 a second on average" in over
    assert "left" not in over


@pytest.mark.parametrize(
    ("doing", "cancelled", "headline"),
    [
        (Doing.MAILING, False, "**Mailing: `emails.csv`**"),
        (Doing.MAILING, True, "**Mailing (cancelled: nobody new is mailed): `emails.csv`**"),
        (Doing.DONE, False, "**Done: `emails.csv`**"),
        (Doing.DONE, True, "**Cancelled: `emails.csv`**"),
    ],
)
def test_the_first_line_says_what_the_batch_does(doing: Doing, cancelled: bool, headline: str) -> None:
    assert shown(doing=doing, cancelled=cancelled, list_name="emails.csv").splitlines()[0] == headline


def test_a_batch_that_is_not_open_yet_shows_no_empty_table() -> None:
    assert shown(doing=Doing.PREPARING, total=0).strip() == "**Preparing**"


def test_a_lists_name_is_never_read_as_markdown() -> None:
    (line, *_) = shown(list_name="a*b*`c`|<b>.csv").splitlines()
    (paragraph,) = [token for token in MarkdownIt().parse(line) if token.type == "inline"]
    assert [child.content for child in paragraph.children or () if child.type == "code_inline"] == [
        "a*b*'c'¦<b>.csv"
    ]


@given(
    settled=st.dictionaries(st.sampled_from(FINAL_OUTCOMES), st.integers(0, 10**6)),
    deferred=st.integers(0, 10**6),
    left=st.integers(0, 10**6),
)
def test_the_rows_add_up_and_nothing_is_whole_before_it_is(
    settled: dict[Outcome, int], deferred: int, left: int
) -> None:
    total = sum(settled.values()) + deferred + left
    if not total:
        return
    table = cells(shown(settled=settled, deferred=deferred, total=total))
    rows = {name: row for name, row in table.items() if name not in ("outcome", "**in all**")}
    assert sum(int(count.replace(",", "")) for count, _ in rows.values()) == total
    for count, percent in rows.values():
        number = int(count.replace(",", ""))
        assert (float(percent) == 100) == (number == total)
        assert (float(percent) == 0) == (number == 0)

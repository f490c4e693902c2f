"""The ledger: its wire form, its size, its marks."""

from __future__ import annotations

import base64
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchmail.batch.ledger import (
    ABSENT,
    DEFERRED,
    DEFERRED_MARKED,
    NAMED,
    NAMED_MARKED,
    PENDING,
    PENDING_MARKED,
    SENT,
    SENT_MARKED,
    UNKNOWN,
    Ledger,
    LedgerRecord,
    Settled,
)
from batchmail.batch.outcomes import NO_CAUSE, Cause, Outcome, Stage

ROOM = 8 * 1024
"""Bytes: heartbeat details stay under this (they count towards the workflow's mutable state)."""

NO_MAILBOX = Cause(Stage.RCPT, 550, "5.1.1")
FULL = Cause(Stage.RCPT, 452, "4.2.2")
SPAM = Cause(Stage.DOT, 554, "5.7.1")

OPEN = (PENDING, PENDING_MARKED, NAMED, NAMED_MARKED, DEFERRED, DEFERRED_MARKED)
FINAL = (Outcome.SENT, Outcome.REJECTED, Outcome.EXPIRED, Outcome.UNKNOWN, Outcome.SUPPRESSED)
WITH_CAUSE = (Outcome.REJECTED, Outcome.DEFERRED, Outcome.EXPIRED, Outcome.SUPPRESSED)

causes = st.builds(
    Cause,
    st.sampled_from(list(Stage)),
    st.integers(0, 599),
    st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True) | st.just(""),
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any ledger that can come about: any row at any state, any legend, any marks."""
    ledger = Ledger(
        draw(st.integers(1, 1_000_000)),
        bytes(draw(st.lists(st.sampled_from((ABSENT, *OPEN, SENT, SENT_MARKED, UNKNOWN)), max_size=40))),
    )
    legend = draw(st.lists(st.tuples(st.sampled_from(WITH_CAUSE), causes), max_size=5))
    for row in range(len(ledger)):
        if legend and ledger.states[row] in (PENDING, PENDING_MARKED) and draw(st.booleans()):
            ledger.settle(row, *draw(st.sampled_from(legend)))
    ledger.nonces = draw(st.lists(st.text("abcdef-_", min_size=1, max_size=11), max_size=4))
    ledger.accepted = draw(st.booleans())
    ledger.resent = draw(st.integers(0, 10_000))
    return ledger


def wired(ledger: Ledger) -> Ledger:
    """The ledger, once through JSON."""
    return Ledger.read(LedgerRecord.model_validate_json(ledger.record().model_dump_json()))


# The wire


@given(ledgers())
def test_a_ledger_comes_out_of_the_wire_as_it_went_in(ledger: Ledger) -> None:
    found = wired(ledger)
    for name in ("first", "states", "legend", "places", "nonces", "accepted", "resent"):
        assert getattr(found, name) == getattr(ledger, name)
    assert list(found.settled()) == list(ledger.settled())


@given(ledgers())
def test_the_wire_form_is_valid_and_says_the_counts(ledger: Ledger) -> None:
    record = ledger.record("the relay")
    assert LedgerRecord.model_validate(record.model_dump()) == record
    assert record.waiting == "the relay"
    assert record.counts == {outcome.value: count for outcome, count in ledger.counts().items()}


def test_an_unknown_version_is_refused_and_never_a_fresh_start() -> None:
    written = Ledger.of_rows(1, 3).record().model_dump()
    with pytest.raises(ValidationError):
        LedgerRecord.model_validate({**written, "v": 2})


def test_an_unknown_field_is_refused() -> None:
    written = Ledger.of_rows(1, 3).record().model_dump()
    with pytest.raises(ValidationError, match="extra"):
        LedgerRecord.model_validate({**written, "since": 1})


@pytest.mark.parametrize("details", [{}, {"v": 1}, {"v": 1, "first": 1}, "PPP", None])
def test_anything_but_a_ledger_is_refused(details: object) -> None:
    with pytest.raises(ValidationError):
        LedgerRecord.model_validate(details)


def test_a_record_is_a_picture_of_its_moment() -> None:
    ledger = Ledger.of_rows(1, 2)
    record = ledger.record()
    ledger.name(0)
    ledger.nonces.append("later")
    assert bytes(Ledger.read(record).states) == b"PP"
    assert record.nonces == ()


def of_20_000(shape: str) -> Ledger:
    """A slice of the largest size in a shape that it has in life, with ten attempts behind it."""
    chance = random.Random(1)
    ledger = Ledger.of_rows(980_001, 1_000_000)
    ledger.nonces = [f"nonce{place:06}" for place in range(10)]
    rows = range(len(ledger))
    if shape == "in the middle, 200 named":
        for row in rows[:10_200]:
            ledger.settle(row, Outcome.SENT, NO_CAUSE)
        for row in chance.sample(rows[9_700:10_200], 200):
            ledger.states[row] = PENDING
            ledger.name(row)
    elif shape == "5 % rejected, 3 causes":
        for row in rows:
            cause = chance.choice((NO_MAILBOX, FULL, SPAM)) if chance.random() < 0.05 else None
            ledger.settle(row, Outcome.REJECTED if cause else Outcome.SENT, cause or NO_CAUSE)
    elif shape == "50 % deferred":
        for row in rows:
            outcome, cause = chance.choice(((Outcome.SENT, NO_CAUSE), (Outcome.DEFERRED, FULL)))
            ledger.settle(row, outcome, cause)
    elif shape == "all resent, 10 % rejected, 60 causes":
        for row in rows:
            ledger.mark(row)
            refused = chance.random() < 0.1
            cause = Cause(Stage.RCPT, 550, f"5.7.{chance.randrange(60)}") if refused else NO_CAUSE
            ledger.settle(row, Outcome.REJECTED if refused else Outcome.SENT, cause)
    return ledger


@pytest.mark.parametrize(
    "shape",
    [
        "all pending",
        "in the middle, 200 named",
        "5 % rejected, 3 causes",
        "50 % deferred",
        "all resent, 10 % rejected, 60 causes",
    ],
)
def test_a_slice_of_20_000_rows_stays_under_8_kb(shape: str) -> None:
    ledger = of_20_000(shape)
    assert len(ledger.record().model_dump_json()) < ROOM
    assert wired(ledger).states == ledger.states


def test_what_a_random_half_deferred_leaves_is_as_small() -> None:
    rest = of_20_000("50 % deferred").rest()
    assert rest is not None
    assert len(rest.record().model_dump_json()) < ROOM


# The legend


def test_three_hundred_causes_fit_and_only_their_detail_is_lost() -> None:
    ledger = Ledger.of_rows(1, 1_200)
    said = [Cause(Stage.RCPT, 500 + place % 3, f"5.7.{place}") for place in range(300)]
    for row in range(1_200):
        ledger.settle(row, WITH_CAUSE[row % 4], said[row % 300])
    counts = dict.fromkeys(WITH_CAUSE, 300)
    assert ledger.counts() == counts
    assert len(ledger.legend) <= 64
    assert wired(ledger).legend == ledger.legend
    assert wired(ledger).counts() == counts
    first, last = ledger.legend[ledger.states[0] - 128 >> 1], ledger.legend[ledger.states[1_199] - 128 >> 1]
    assert first == (Outcome.REJECTED, said[0])
    assert last[0] is Outcome.SUPPRESSED


def test_a_full_legend_keeps_the_code_where_it_can() -> None:
    ledger = Ledger.of_rows(1, 80)
    ledger.settle(79, Outcome.REJECTED, Cause(Stage.RCPT, 550))
    for row in range(70):
        ledger.settle(row, Outcome.REJECTED, Cause(Stage.RCPT, 550, f"5.7.{row}"))
    assert ledger.states[69] == ledger.states[79]


def test_a_full_legend_still_marks() -> None:
    ledger = Ledger.of_rows(1, 100)
    for row in range(100):
        ledger.mark(row)
        ledger.settle(row, Outcome.REJECTED, Cause(Stage.RCPT, 550, f"5.7.{row}"))
    assert all(one.in_doubt for one in ledger.settled())


# Marks


@given(ledgers())
def test_a_mark_is_never_lost_whatever_follows(ledger: Ledger) -> None:
    for row in range(len(ledger)):
        if ledger.states[row] == ABSENT:
            continue
        ledger.mark(row)
        assert ledger.is_marked(row)
        ledger.pend(row)
        assert ledger.states[row] == PENDING_MARKED
        ledger.name(row)
        assert ledger.states[row] == NAMED_MARKED
        for outcome in Outcome:
            ledger.settle(row, outcome, NO_MAILBOX)
            assert ledger.is_marked(row)
    assert wired(ledger).states == ledger.states


@given(ledgers())
def test_a_mark_changes_nothing_else(ledger: Ledger) -> None:
    counts, settled = ledger.counts(), list(ledger.settled())
    pending = ledger.count(PENDING, PENDING_MARKED)
    for row in range(len(ledger)):
        ledger.mark(row)
    assert ledger.counts() == counts
    assert ledger.count(PENDING_MARKED) == pending
    assert list(ledger.settled()) == [one._replace(in_doubt=True) for one in settled]
    assert ledger.count(ABSENT) + sum(map(ledger.is_marked, range(len(ledger)))) == len(ledger)


def test_naming_somebody_in_doubt_counts_as_a_resend_until_it_is_withdrawn() -> None:
    ledger = Ledger(1, b"Pp")
    ledger.name(0)
    assert ledger.resent == 0
    ledger.name(1)
    assert ledger.resent == 1
    ledger.pend(0)
    ledger.pend(1)
    assert ledger.resent == 0
    assert bytes(ledger.states) == b"Pp"


# Parts and outcome files


@given(ledgers())
def test_the_rest_and_the_outcome_file_share_out_every_row(ledger: Ledger) -> None:
    rest = ledger.rest()
    final = {one.row for one in ledger.settled()}
    left = {row for row in range(len(rest)) if rest.states[row] != ABSENT} if rest else set()
    there = {row for row in range(len(ledger)) if ledger.states[row] != ABSENT}
    assert final | left == there
    assert not final & left
    assert list(Ledger.read(ledger.outcomes()).settled()) == list(ledger.settled())
    assert ledger.outcomes().nonces == tuple(ledger.nonces)
    if rest:
        assert rest.first == ledger.first
        assert rest.nonces == ledger.nonces
        assert rest.nonces is not ledger.nonces
        assert {row for row in left if rest.is_marked(row)} == {row for row in left if ledger.is_marked(row)}
        assert rest.resent == 0, "the outcome file has said it"
        assert not rest.legend


@given(ledgers())
def test_an_outcome_file_says_final_outcomes_only(ledger: Ledger) -> None:
    found = Ledger.read(ledger.outcomes())
    counts = ledger.counts()
    assert found.counts() == {outcome: counts[outcome] for outcome in FINAL if outcome in counts}
    assert found.resent == ledger.resent


def test_the_outcome_file_of_the_same_ledger_has_the_same_content() -> None:
    ledger = Ledger(1, b"SsU-")
    again = wired(ledger)
    again.accepted = True
    assert ledger.outcomes() == again.outcomes() == again.outcomes()


def test_the_rest_knows_that_somebody_was_accepted() -> None:
    for states, accepted in ((b"PS", True), (b"Ps", True), (b"PU", False)):
        rest = Ledger(1, states).rest()
        assert rest is not None
        assert rest.accepted is accepted
        further = rest.rest()
        assert further is not None
        assert further.accepted is accepted


def test_deferred_recipients_wait_without_their_cause_and_are_due_together() -> None:
    ledger = Ledger.of_rows(1, 4)
    ledger.mark(1)
    ledger.settle(0, Outcome.DEFERRED, FULL)
    ledger.settle(1, Outcome.DEFERRED, FULL)
    ledger.settle(2, Outcome.REJECTED, NO_MAILBOX)
    rest = ledger.rest()
    assert rest is not None
    assert bytes(rest.states) == b"Dd-P"
    assert rest.counts() == {Outcome.DEFERRED: 2}
    rest.retry()
    assert bytes(rest.states) == b"Pp-P"
    ledger.retry()
    assert ledger.counts() == {Outcome.DEFERRED: 2, Outcome.REJECTED: 1}, "their delay has not even begun"


def test_nothing_left_is_no_rest() -> None:
    assert Ledger(1, b"SsU-").rest() is None


@given(ledgers(), ledgers(), st.booleans())
def test_adopting_a_file_settles_open_rows_and_never_unsettles_or_unmarks(
    ledger: Ledger, other: Ledger, marked: bool
) -> None:
    ledger.first = other.first
    before = Ledger.read(ledger.record())
    ledger.adopt(other.outcomes(), marked=marked)
    said = {one.row: one for one in other.settled()}
    for row in range(len(ledger)):
        one = said.get(row)
        if one is None or before.states[row] == ABSENT:
            assert ledger.states[row] == before.states[row]
        elif before.states[row] in OPEN:
            found = next(found for found in ledger.settled() if found.row == row)
            assert found.outcome is one.outcome
            assert found.in_doubt == (marked or one.in_doubt or before.is_marked(row))
        else:
            assert ledger.is_marked(row) == (before.is_marked(row) or marked or one.in_doubt)


def test_a_file_that_begins_at_another_row_is_laid_beside_the_right_one() -> None:
    ledger = Ledger(11, b"PPP")
    ledger.adopt(Ledger(10, b"SSUS").outcomes(), marked=False)
    assert bytes(ledger.states) == b"SUS"
    ledger = Ledger(11, b"PPP")
    ledger.adopt(Ledger(13, b"SS").outcomes(), marked=False)
    assert bytes(ledger.states) == b"PPS"


# What it says


def test_counts_refusals_and_settled_rows_agree() -> None:
    ledger = Ledger(5, b"PISsDdUp-PPPP")
    for row, outcome in ((9, Outcome.REJECTED), (10, Outcome.EXPIRED), (11, Outcome.DEFERRED)):
        ledger.settle(row, outcome, FULL)
    ledger.settle(12, Outcome.SUPPRESSED, NO_CAUSE)
    assert ledger.counts() == {
        Outcome.SENT: 2,
        Outcome.DEFERRED: 3,
        Outcome.UNKNOWN: 1,
        Outcome.REJECTED: 1,
        Outcome.EXPIRED: 1,
        Outcome.SUPPRESSED: 1,
    }
    assert ledger.refusals() == {FULL: 3}
    assert list(ledger.settled()) == [
        Settled(2, Outcome.SENT, NO_CAUSE, False),
        Settled(3, Outcome.SENT, NO_CAUSE, True),
        Settled(6, Outcome.UNKNOWN, NO_CAUSE, True),
        Settled(9, Outcome.REJECTED, FULL, False),
        Settled(10, Outcome.EXPIRED, FULL, False),
        Settled(12, Outcome.SUPPRESSED, NO_CAUSE, False),
    ]


def test_reverting_a_cause_makes_all_of_its_rows_pending_with_their_marks_and_no_others() -> None:
    ledger = Ledger(1, b"PpPpPS")
    ledger.settle(0, Outcome.REJECTED, SPAM)
    ledger.settle(1, Outcome.REJECTED, SPAM)
    ledger.settle(2, Outcome.EXPIRED, SPAM)
    ledger.settle(3, Outcome.DEFERRED, SPAM)
    ledger.settle(4, Outcome.REJECTED, NO_MAILBOX)
    assert sorted(ledger.revert(SPAM)) == [0, 1, 2, 3]
    assert bytes(ledger.states[:4]) == b"PpPp"
    assert ledger.refusals() == {NO_MAILBOX: 1}
    assert ledger.revert(SPAM) == []


@pytest.mark.parametrize(
    "states", ["not packed", "ä", base64.b64encode(zlib.compress(b"SSS")[:-3]).decode(), ""], ids=repr
)
def test_a_record_that_cannot_be_unpacked_is_told_by_one_error(states: str) -> None:
    with pytest.raises(ValueError, match="its states cannot be unpacked"):
        Ledger.read(LedgerRecord(first=1, states=states))


def test_a_record_with_more_causes_than_there_can_be_is_told_by_the_same() -> None:
    causes = tuple((Outcome.REJECTED, Stage.RCPT, 500 + number, "") for number in range(65))
    record = Ledger.of_rows(1, 1).record().model_copy(update={"causes": causes})
    with pytest.raises(ValueError, match="it has 65 causes"):
        Ledger.read(record)

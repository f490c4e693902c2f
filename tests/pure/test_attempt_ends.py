"""How an attempt ends: handed back, or cancelled."""

from __future__ import annotations

from batchmail.batch.attempt import Answer, Phase
from batchmail.batch.ledger import Ledger
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import NO_CAUSE, Outcome
from tests.pure.attempts import (
    BUSY,
    LOST_BEFORE,
    SENT,
    acknowledged,
    attempt_on,
    beat,
    body_out,
    drained,
    mailing,
    named,
    outcomes,
    phase,
    states,
    told_all,
)

# Hand back


def test_told_to_stop_nobody_is_named_and_the_unacknowledged_are_withdrawn() -> None:
    attempt = mailing(b"PPPP")
    allowed = acknowledged(attempt)
    asked = named(attempt)
    attempt.heartbeat(0.0)
    unsent = named(attempt)
    assert set(attempt.stop("told")) == {asked, unsent}
    assert attempt.name() is None
    assert states(attempt) == b"IPPP"
    assert attempt.heard(Answer.YES, 0.0) == []
    assert attempt.may_send_body(allowed, 0.0)
    assert not drained(attempt)
    attempt.concluded(allowed, SENT)
    assert drained(attempt)
    assert not told_all(attempt)
    beat(attempt)
    assert told_all(attempt)
    rest = attempt.ledger.rest()
    assert rest is not None
    assert bytes(rest.states) == b"-PPP"


def test_the_first_reason_to_stop_is_the_one_that_is_told() -> None:
    attempt = mailing(b"P")
    attempt.stop("first")
    assert attempt.stop("second") == []
    assert attempt.why_stopping == "first"


def test_a_stop_before_the_first_acknowledgement_still_decides_the_doubts() -> None:
    attempt = attempt_on(b"IP", nonces=("dead",))
    assert attempt.stop("told") == []
    beat(attempt)
    attempt.listed(["me", "dead"], [])
    assert phase(attempt) is Phase.STOPPING
    assert attempt.name() is None
    assert states(attempt) == b"pP"
    assert drained(attempt)
    assert not told_all(attempt)


def test_a_yes_that_asks_to_stop_withdraws_what_it_has_committed() -> None:
    attempt = mailing(b"PP")
    intent = named(attempt)
    assert beat(attempt, Answer.YES_STOP) == []
    assert not intent.open
    assert states(attempt) == b"PP"
    assert phase(attempt) is Phase.STOPPING
    assert not told_all(attempt)


def test_a_first_yes_that_asks_to_stop_leads_through_the_listing_to_a_hand_back() -> None:
    attempt = attempt_on(b"P")
    beat(attempt, Answer.YES_STOP)
    assert phase(attempt) is Phase.MARKING
    attempt.listed(["me"], [])
    assert phase(attempt) is Phase.STOPPING


def test_the_ledger_as_listed_is_acknowledged_before_the_end_even_where_nobody_is_left() -> None:
    attempt = mailing(b"I", InDoubt.HOLD, known=("dead",), markers=("dead",))
    assert drained(attempt)
    assert not told_all(attempt)
    beat(attempt)
    assert told_all(attempt)


def test_a_stranger_beside_us_is_seen_at_the_second_listing() -> None:
    attempt = mailing(b"S", known=("before",), markers=("before",))
    assert attempt.strangers(["before", "me"]) == set()
    assert attempt.strangers(["before", "me", "beside"]) == {"beside"}


# Cancel


def test_a_cancelled_slice_settles_everyone_left_as_not_to_be_mailed() -> None:
    ledger = Ledger(1, b"PpDdPPSs-")
    ledger.mark(5)
    attempt = mailing(ledger)
    rows = {intent.row: intent for intent in (body_out(attempt) for _ in range(3))}
    assert set(rows) == {0, 1, 5}
    attempt.concluded(rows[0], BUSY)
    attempt.concluded(rows[5], BUSY)
    attempt.cancel()
    attempt.settle_the_rest()
    assert states(attempt)[2:5] == b"DdP", "nobody is settled while somebody is in flight"
    attempt.concluded(rows[1], LOST_BEFORE)
    attempt.settle_the_rest()
    assert outcomes(attempt) == {
        0: (Outcome.EXPIRED, False),
        1: (Outcome.UNKNOWN, True),
        2: (Outcome.EXPIRED, False),
        3: (Outcome.UNKNOWN, True),
        4: (Outcome.SUPPRESSED, False),
        5: (Outcome.UNKNOWN, True),
        6: (Outcome.SENT, False),
        7: (Outcome.SENT, True),
    }
    assert next(attempt.ledger.settled()).cause == BUSY.cause
    assert attempt.ledger.rest() is None


def test_a_cancel_told_again_and_again_makes_no_news() -> None:
    attempt = mailing(b"P")
    beat(attempt)
    assert told_all(attempt)
    attempt.cancel()
    attempt.settle_the_rest()
    assert not told_all(attempt)
    beat(attempt)
    attempt.cancel()
    attempt.settle_the_rest()
    assert told_all(attempt)


def test_a_mere_stop_settles_nobody() -> None:
    attempt = mailing(b"PD")
    attempt.stop("told")
    attempt.settle_the_rest()
    assert states(attempt) == b"PD"


def test_a_cancel_that_ends_in_a_failure_settles_nobody() -> None:
    attempt = mailing(b"P")
    attempt.cancel()
    beat(attempt, Answer.UNCLEAR)
    attempt.settle_the_rest()
    assert states(attempt) == b"P"
    assert NO_CAUSE not in attempt.ledger.refusals()

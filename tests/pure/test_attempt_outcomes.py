"""What follows from what the relay says, and when the refusals are its own fault."""

from __future__ import annotations

import pytest

from batchmail.batch.attempt import STREAK, Answer, streak
from batchmail.batch.ledger import Ledger
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import Cause, Follows, Outcome, Stage, Verdict
from tests.pure.attempts import (
    AT_FAULT,
    BUSY,
    LOST_AFTER,
    LOST_BEFORE,
    NO_MAILBOX,
    NO_RELAYING,
    SENT,
    acknowledged,
    body_out,
    drained,
    mailing,
    named,
    outcomes,
    states,
    told_all,
)

# What the relay says


@pytest.mark.parametrize(
    ("verdict", "outcome"), [(SENT, Outcome.SENT), (NO_MAILBOX, Outcome.REJECTED), (BUSY, Outcome.DEFERRED)]
)
@pytest.mark.parametrize("mark", [False, True])
def test_an_answer_settles_the_recipient_and_keeps_the_mark(
    verdict: Verdict, outcome: Outcome, mark: bool
) -> None:
    attempt = mailing(b"p" if mark else b"P")
    assert attempt.concluded(body_out(attempt), verdict) is verdict.follows
    assert attempt.ledger.counts() == {outcome: 1}
    assert attempt.ledger.is_marked(0) is mark
    assert drained(attempt)


def test_a_relay_fault_leaves_the_recipient_pending_however_often() -> None:
    attempt = mailing(b"P")
    for _ in range(3):
        assert attempt.concluded(named(attempt), AT_FAULT) is Follows.RELAY_FAULT
        assert states(attempt) == b"P"


def test_a_connection_lost_before_the_body_leaves_the_recipient_untouched() -> None:
    attempt = mailing(b"P")
    attempt.concluded(acknowledged(attempt), LOST_BEFORE)
    assert states(attempt) == b"P"
    attempt.concluded(body_out(attempt), SENT)
    assert outcomes(attempt) == {0: (Outcome.SENT, False)}


def test_a_connection_lost_after_the_body_puts_the_recipient_in_doubt() -> None:
    attempt = mailing(b"P")
    attempt.concluded(body_out(attempt), LOST_AFTER)
    assert states(attempt) == b"p"
    attempt.concluded(body_out(attempt), SENT)
    assert outcomes(attempt) == {0: (Outcome.SENT, True)}
    assert attempt.ledger.resent == 1


def test_a_connection_lost_after_the_body_is_unknown_under_hold() -> None:
    attempt = mailing(b"P", InDoubt.HOLD)
    attempt.concluded(body_out(attempt), LOST_AFTER)
    assert outcomes(attempt) == {0: (Outcome.UNKNOWN, True)}
    assert attempt.name() is None


@pytest.mark.parametrize("stage", [Stage.RSET, Stage.MAIL])
def test_a_connection_closed_by_421_before_the_recipient_is_named_is_never_his_loss(stage: Stage) -> None:
    attempt = mailing(b"P")
    for _ in range(3):
        attempt.concluded(named(attempt), Verdict(Follows.PENDING, Cause(stage, 421)))
        assert states(attempt) == b"P"


@pytest.mark.parametrize("cause", [Cause(Stage.RCPT), Cause(Stage.MAIL), Cause(Stage.MAIL, 451)])
def test_any_other_loss_counts(cause: Cause) -> None:
    attempt = mailing(b"P")
    for _ in range(2):
        attempt.concluded(named(attempt), Verdict(Follows.PENDING, cause))
    assert attempt.ledger.counts() == {Outcome.DEFERRED: 1}


@pytest.mark.parametrize(
    ("losses", "marked"), [((LOST_BEFORE, LOST_BEFORE), False), ((LOST_AFTER, LOST_BEFORE), True)]
)
def test_a_recipient_whose_connection_is_lost_twice_is_deferred(
    losses: tuple[Verdict, ...], marked: bool
) -> None:
    attempt = mailing(b"P")
    for loss in losses:
        attempt.concluded(body_out(attempt), loss)
    assert attempt.ledger.counts() == {Outcome.DEFERRED: 1}
    assert attempt.ledger.is_marked(0) is marked


def test_on_the_last_try_who_is_deferred_expires() -> None:
    attempt = mailing(b"P", last_try=True)
    attempt.concluded(body_out(attempt), BUSY)
    assert outcomes(attempt) == {0: (Outcome.EXPIRED, False)}
    assert attempt.ledger.rest() is None


def test_on_the_last_try_who_was_ever_in_doubt_is_unknown() -> None:
    attempt = mailing(b"p", last_try=True)
    attempt.concluded(body_out(attempt), BUSY)
    assert outcomes(attempt) == {0: (Outcome.UNKNOWN, True)}


def test_a_resend_whose_body_never_left_is_not_counted() -> None:
    attempt = mailing(b"p")
    attempt.concluded(acknowledged(attempt), LOST_BEFORE)
    attempt.withdraw(acknowledged(attempt))
    assert attempt.ledger.resent == 0
    attempt.concluded(body_out(attempt), SENT)
    assert attempt.ledger.resent == 1


def test_a_settled_intent_cannot_be_withdrawn_nor_closed_nor_concluded_again() -> None:
    attempt = mailing(b"P")
    intent = acknowledged(attempt)
    attempt.concluded(intent, NO_MAILBOX)
    attempt.withdraw(intent)
    attempt.closed(intent)
    assert attempt.concluded(intent, SENT) is Follows.SENT
    assert outcomes(attempt) == {0: (Outcome.REJECTED, False)}


def test_a_body_that_has_gone_out_cannot_be_withdrawn() -> None:
    attempt = mailing(b"P")
    attempt.withdraw(body_out(attempt))
    assert states(attempt) == b"I"


def test_an_outcome_is_news_until_it_is_acknowledged() -> None:
    attempt = mailing(b"P")
    intent = body_out(attempt)
    assert told_all(attempt)
    attempt.concluded(intent, SENT)
    assert not told_all(attempt)
    attempt.heartbeat(0.0)
    assert not told_all(attempt)
    attempt.heard(Answer.YES, 0.0)
    assert told_all(attempt)


def test_a_connection_closed_from_our_side_after_the_body_leaves_a_doubt() -> None:
    attempt = mailing(b"PP")
    out, waiting = body_out(attempt), acknowledged(attempt)
    attempt.closed(out)
    attempt.closed(waiting)
    assert states(attempt) == b"pP"
    assert {named(attempt).row, named(attempt).row} == {0, 1}
    assert attempt.name() is None


# Twenty refusals


def test_twenty_times_one_and_the_same_refusal_and_nobody_accepted_is_the_relays_fault() -> None:
    attempt = mailing(b"P" * (STREAK + 2))
    for _ in range(STREAK - 1):
        assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.REJECTED
    assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.RELAY_FAULT
    assert states(attempt) == b"P" * (STREAK + 2)
    assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.RELAY_FAULT
    assert states(attempt) == b"P" * (STREAK + 2)


def test_after_a_streak_everyone_is_tried_again_once_the_relay_accepts() -> None:
    attempt = mailing(b"P" * (STREAK + 2))
    for _ in range(STREAK):
        attempt.concluded(named(attempt), NO_RELAYING)
    attempt.concluded(body_out(attempt), SENT)
    assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.REJECTED
    while attempt.has_pending:
        attempt.concluded(body_out(attempt), SENT)
    assert attempt.ledger.counts() == {Outcome.SENT: STREAK + 1, Outcome.REJECTED: 1}


def test_after_a_streak_another_refusal_is_the_recipients_own() -> None:
    attempt = mailing(b"P" * (STREAK + 2))
    for _ in range(STREAK):
        attempt.concluded(named(attempt), NO_RELAYING)
    assert attempt.concluded(named(attempt), NO_MAILBOX) is Follows.REJECTED
    assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.RELAY_FAULT


def test_a_streak_keeps_marks_and_takes_the_deferred_too() -> None:
    refusal = Verdict(Follows.DEFERRED, Cause(Stage.RCPT, 451, "4.7.0"))
    attempt = mailing(b"p" + b"P" * (STREAK - 1))
    for _ in range(STREAK):
        attempt.concluded(named(attempt), refusal)
    assert states(attempt) == b"p" + b"P" * (STREAK - 1)


def test_a_streak_goes_on_over_a_crash() -> None:
    ledger = Ledger(1, b"P" * STREAK)
    for row in range(STREAK - 1):
        ledger.settle(row, Outcome.REJECTED, NO_RELAYING.cause)
    attempt = mailing(ledger, known=("dead",), markers=("dead",))
    assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.RELAY_FAULT
    rows = [named(attempt).row for _ in range(STREAK)]
    assert sorted(rows) == list(range(STREAK))
    assert attempt.name() is None


@pytest.mark.parametrize("accepted", [b"S", b"s"])
def test_there_is_no_streak_once_somebody_was_accepted(accepted: bytes) -> None:
    attempt = mailing(accepted + b"P" * STREAK)
    for _ in range(STREAK):
        assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.REJECTED


def test_who_was_accepted_in_an_earlier_part_prevents_a_streak_too() -> None:
    earlier = Ledger(1, b"S" + b"P" * STREAK).rest()
    assert earlier is not None
    attempt = mailing(Ledger.read(earlier.record()))
    for _ in range(STREAK):
        assert attempt.concluded(named(attempt), NO_RELAYING) is Follows.REJECTED


@pytest.mark.parametrize(
    ("code", "enhanced", "relays_fault"),
    [
        (550, "", True),
        (554, "5.7.1", True),
        (451, "4.7.0", True),
        (550, "5.1.1", False),
        (550, "5.1.10", False),
        (452, "4.2.2", False),
        (552, "", False),
        (552, "5.3.4", False),
        (451, "4.3.4", False),
    ],
)
def test_a_refusal_about_recipient_or_size_is_never_a_streak(
    code: int, enhanced: str, relays_fault: bool
) -> None:
    cause = Cause(Stage.RCPT, code, enhanced)
    assert streak({cause: STREAK}) == (cause if relays_fault else None)
    assert streak({cause: STREAK - 1}) is None


def test_two_kinds_of_refusals_are_no_streak() -> None:
    assert streak({NO_RELAYING.cause: STREAK, NO_MAILBOX.cause: 1}) is None


def test_what_the_relay_did_not_say_neither_makes_nor_breaks_a_streak() -> None:
    lost, unfilled = Cause(Stage.DATA), Cause(Stage.FILL)
    assert streak({lost: STREAK}) is None
    assert streak({unfilled: STREAK}) is None
    assert streak({NO_RELAYING.cause: STREAK, lost: 1, unfilled: 1}) == NO_RELAYING.cause
    assert streak({}) is None


def test_who_is_refused_for_a_fault_of_his_own_does_not_keep_the_others_waiting() -> None:
    """The first sixty of a list are at one company that blocks the sender; everybody else is not."""
    attempt = mailing(b"P" * 300)
    for _ in range(1_000):
        if attempt.has_pending:
            intent = body_out(attempt)
            attempt.concluded(intent, NO_RELAYING if intent.row < 60 else SENT)
    assert attempt.ledger.counts() == {Outcome.SENT: 240, Outcome.REJECTED: 60}

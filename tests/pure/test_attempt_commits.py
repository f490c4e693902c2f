"""Intent before body, the lease, and what an unclear answer ends."""

from __future__ import annotations

import pytest

from batchmail.batch.attempt import Answer, Phase
from batchmail.batch.outcomes import Follows
from tests.pure.attempts import (
    LEASE,
    LOST_BEFORE,
    SENT,
    acknowledged,
    attempt_on,
    beat,
    body_out,
    drained,
    mailing,
    named,
    phase,
    states,
)

# Intent before body


def test_no_body_leaves_before_its_intent_is_acknowledged() -> None:
    attempt = mailing(b"P")
    intent = named(attempt)
    assert not attempt.may_send_body(intent, 0.0)
    attempt.heartbeat(0.0)
    assert not attempt.may_send_body(intent, 0.0)
    attempt.heard(Answer.YES, 0.0)
    assert attempt.may_send_body(intent, 0.0)


def test_one_acknowledgement_allows_one_body() -> None:
    attempt = mailing(b"P")
    intent = body_out(attempt)
    assert not attempt.may_send_body(intent, 0.0)


def test_heartbeats_go_one_at_a_time() -> None:
    attempt = mailing(b"P")
    intent = named(attempt)
    assert attempt.heartbeat(0.0) is not None
    assert attempt.beating
    assert attempt.heartbeat(0.0) is None
    assert attempt.heard(Answer.YES, 0.0) == [intent]


def test_an_intent_named_while_a_heartbeat_is_on_its_way_is_not_acknowledged_by_it() -> None:
    attempt = mailing(b"PP")
    first = named(attempt)
    attempt.heartbeat(0.0)
    second = named(attempt)
    assert attempt.heard(Answer.YES, 0.0) == [first]
    assert not attempt.may_send_body(second, 0.0)
    assert attempt.has_news
    assert beat(attempt) == [second]


def test_a_row_named_again_is_not_acknowledged_by_its_earlier_intents_heartbeat() -> None:
    attempt = mailing(b"P")
    first = named(attempt)
    attempt.heartbeat(0.0)
    attempt.concluded(first, LOST_BEFORE)
    second = named(attempt)
    assert second.row == first.row
    assert attempt.heard(Answer.YES, 0.0) == []
    assert not attempt.may_send_body(second, 0.0)
    assert not attempt.may_send_body(first, 0.0)


def test_an_answer_nobody_waits_for_says_nothing() -> None:
    attempt = mailing(b"P")
    named(attempt)
    assert attempt.heard(Answer.YES, 0.0) == []


# The lease


def test_a_lease_counts_from_the_sending_of_its_heartbeat() -> None:
    attempt = mailing(b"P")
    intent = named(attempt)
    attempt.heartbeat(2.0)
    attempt.heard(Answer.YES, 9.0)
    assert attempt.lease_left(9.0) == 3.0
    assert not attempt.may_send_body(intent, 12.0)


def test_a_lease_run_out_is_run_out_for_good() -> None:
    attempt = mailing(b"PP")
    intent = acknowledged(attempt)
    assert not attempt.may_send_body(intent, LEASE)
    assert phase(attempt) is Phase.DEAD
    assert not attempt.has_lease(0.0)
    assert attempt.heartbeat(0.0) is None
    assert attempt.name() is None


def test_a_late_yes_does_not_renew_a_lease() -> None:
    attempt = mailing(b"P")
    intent = named(attempt)
    attempt.heartbeat(9.0)
    assert attempt.heard(Answer.YES, 10.0) == []
    assert phase(attempt) is Phase.DEAD
    assert not attempt.may_send_body(intent, 10.0)


def test_a_first_yes_that_took_longer_than_the_lease_is_none() -> None:
    attempt = attempt_on(b"P")
    attempt.heartbeat(0.0)
    attempt.heard(Answer.YES, LEASE)
    assert phase(attempt) is Phase.DEAD


def test_an_attempt_that_is_gone_says_nothing_more() -> None:
    attempt = mailing(b"PP")
    sent, waiting = acknowledged(attempt), named(attempt)
    assert beat(attempt, Answer.GONE) == []
    assert phase(attempt) is Phase.DEAD
    assert attempt.heartbeat(0.0) is None
    assert not drained(attempt)
    for intent in (sent, waiting):
        assert not attempt.may_send_body(intent, 0.0)


def test_a_dead_attempts_ledger_does_not_change() -> None:
    attempt = mailing(b"P")
    intent = body_out(attempt)
    attempt.die()
    assert attempt.concluded(intent, SENT) is Follows.SENT
    assert states(attempt) == b"I"


# An unclear answer


@pytest.mark.parametrize("answer", [Answer.UNCLEAR, Answer.YES_END])
def test_an_unclear_answer_or_an_operators_pause_ends_the_attempt_by_failure(answer: Answer) -> None:
    attempt = mailing(b"PPPP")
    out = body_out(attempt)
    asked = named(attempt)
    attempt.heartbeat(0.0)
    unsent = named(attempt)
    assert attempt.heard(answer, 0.0) == []
    assert phase(attempt) is Phase.FAILING
    assert not asked.open
    assert not unsent.open
    assert states(attempt) == b"IPPP"
    assert attempt.name() is None
    assert attempt.heartbeat(0.0) is None
    assert not drained(attempt)
    attempt.concluded(out, SENT)
    assert drained(attempt)
    assert states(attempt) == b"SPPP"
    assert attempt.has_lease(LEASE - 1)
    assert not attempt.has_lease(LEASE)


def test_after_an_unclear_answer_what_is_acknowledged_may_still_be_sent_within_the_lease() -> None:
    attempt = mailing(b"PP")
    intent = acknowledged(attempt)
    named(attempt)
    beat(attempt, Answer.UNCLEAR)
    assert attempt.may_send_body(intent, LEASE - 1)


def test_an_unclear_answer_does_not_renew_the_lease() -> None:
    attempt = mailing(b"P")
    beat(attempt, Answer.UNCLEAR, now=4.0)
    assert attempt.lease_left(4.0) == LEASE - 4.0


def test_an_unclear_answer_ends_a_hand_back_by_failure_too() -> None:
    attempt = mailing(b"P")
    attempt.stop("told")
    beat(attempt, Answer.UNCLEAR)
    assert phase(attempt) is Phase.FAILING


def test_an_unclear_first_answer_ends_the_attempt_before_its_marker() -> None:
    attempt = attempt_on(b"IP")
    beat(attempt, Answer.UNCLEAR)
    attempt.listed(["me", "stranger"], [])
    assert states(attempt) == b"IP"
    assert drained(attempt)

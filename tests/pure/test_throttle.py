"""Whose a refusal is that speaks of the rate: the relay's, or the recipients' own."""

from __future__ import annotations

import pytest

from batchmail.batch.attempt import Attempt
from batchmail.batch.outcomes import Cause, Follows, Outcome, Stage, Verdict
from batchmail.batch.throttle import (
    CERTAIN,
    CLOSINGS,
    MANY,
    PATIENCE,
    SOON,
    STUBBORN,
    Throttle,
    may_be_the_rate,
)
from tests.pure.attempts import LEASE, SENT, beat, body_out, mailing, outcomes

TOO_FAST = Cause(Stage.RCPT, 450, "4.7.1")
REFUSED = Verdict(Follows.DEFERRED, TOO_FAST)


@pytest.mark.parametrize(
    ("code", "enhanced", "may_be"),
    [
        (450, "4.7.1", True),  # Postfix: Error: too much mail; greylisting, too
        (421, "4.7.28", True),
        (421, "4.3.2", True),
        (452, "4.3.1", True),
        (451, "4.4.5", True),
        (454, "", True),  # SES: Throttling failure
        (454, "4.5.0", True),
        (451, "", True),
        (450, "4.2.1", False),  # the recipient gets mail too fast, from whomever
        (452, "4.2.2", False),
        (450, "4.1.2", False),
        (451, "4.3.0", False),
        (451, "4.4.3", False),
        (455, "", False),
        (550, "5.7.1", False),
        (554, "", False),
    ],
)
def test_which_refusals_may_mean_that_mail_comes_too_fast(code: int, enhanced: str, may_be: bool) -> None:
    for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.DOT):
        assert may_be_the_rate(Cause(stage, code, enhanced)) is may_be


def test_a_refusal_before_mail_says_nothing_of_its_rate() -> None:
    assert not may_be_the_rate(Cause(Stage.GREETING, 421, "4.7.0"))
    assert not may_be_the_rate(Cause(Stage.AUTH, 454, "4.7.0"))


def test_who_is_refused_and_taken_soon_after_was_refused_for_the_rate() -> None:
    throttle = Throttle()
    for row in range(CERTAIN):
        assert throttle.is_the_relays(row, TOO_FAST, 0.0)
        throttle.taken(row, 2.0)
    for _ in range(PATIENCE - 1):
        assert throttle.is_the_relays(100, TOO_FAST, 3.0)


def own(throttle: Throttle, recipients: int = CERTAIN) -> None:
    """So many recipients are refused again and again, with another one named and taken each time."""
    for row in range(recipients):
        for _ in range(STUBBORN):
            assert throttle.is_the_relays(row, TOO_FAST, 0.0)
            throttle.named(1_000 + row)
            throttle.taken(1_000 + row, 1.0)
        assert not throttle.is_the_relays(row, TOO_FAST, 2.0)


def test_who_is_refused_again_while_others_are_taken_is_refused_for_himself() -> None:
    own(Throttle(), 1)


def test_mails_that_were_on_their_way_say_nothing_of_who_was_refused_meanwhile() -> None:
    throttle = Throttle()
    for row in range(100, 100 + PATIENCE):
        throttle.named(row)
    for row in range(100, 100 + PATIENCE - 1):
        assert throttle.is_the_relays(0, TOO_FAST, 0.0)
        throttle.taken(row, 1.0)


def test_after_three_such_recipients_nobody_is_tried_twice_any_more() -> None:
    throttle = Throttle()
    own(throttle)
    assert throttle.are_the_recipients_own(TOO_FAST)
    assert not throttle.is_the_relays(500, TOO_FAST, 3.0)


def test_each_kind_of_refusal_is_judged_by_itself() -> None:
    throttle = Throttle()
    own(throttle)
    other = Cause(Stage.DOT, 454)
    assert not throttle.are_the_recipients_own(other)
    assert throttle.is_the_relays(500, other, 3.0)


def test_who_is_taken_long_after_a_refusal_shows_nothing() -> None:
    """Greylisting takes whoever comes again minutes later."""
    throttle = Throttle()
    for row in range(CERTAIN):
        assert throttle.is_the_relays(100 + row, TOO_FAST, 0.0)
        throttle.taken(100 + row, SOON)
    own(throttle)
    assert throttle.are_the_recipients_own(TOO_FAST)


def test_the_last_of_a_list_is_not_tried_for_ever() -> None:
    throttle = Throttle()
    assert [throttle.is_the_relays(0, TOO_FAST, 0.0) for _ in range(PATIENCE)] == [True] * 7 + [False]


def test_while_the_relay_takes_nobody_at_all_nobody_is_deferred() -> None:
    throttle = Throttle()
    for _ in range(3 * PATIENCE):
        for row in range(MANY):
            assert throttle.is_the_relays(row, TOO_FAST, 0.0)


def test_a_421_is_tried_again_a_few_times_and_teaches_nothing() -> None:
    throttle = Throttle()
    closed = Cause(Stage.RCPT, 421, "4.7.0")
    for _ in range(CLOSINGS - 1):
        assert throttle.is_the_relays(0, closed, 0.0)
        throttle.named(1)
        throttle.taken(1, 1.0)
    assert not throttle.is_the_relays(0, closed, 0.0)
    assert throttle.is_the_relays(2, closed, 0.0)


def test_a_relay_that_closes_on_everybody_defers_nobody() -> None:
    throttle = Throttle()
    closed = Cause(Stage.RCPT, 421, "4.7.0")
    for _ in range(2 * PATIENCE):
        for row in range(MANY):
            assert throttle.is_the_relays(row, closed, 0.0)


# In an attempt


def test_who_is_refused_for_the_rate_stays_pending_and_is_the_next() -> None:
    attempt = mailing(b"PPPP")
    intent = body_out(attempt)
    assert attempt.concluded(intent, REFUSED) is Follows.THROTTLED
    assert attempt.ledger.counts() == {}
    assert [body_out(attempt).row for _ in range(3)] == [0, 1, 2]


def test_those_tried_again_and_others_take_turns_once_the_rate_was_spoken_of() -> None:
    attempt = mailing(b"P" * 8)
    first = [body_out(attempt) for _ in range(4)]
    for intent in first:
        attempt.concluded(intent, REFUSED)
    assert [body_out(attempt).row for _ in range(8)] == [0, 4, 1, 5, 2, 6, 3, 7]


def test_a_421_at_rcpt_is_nobodys_loss() -> None:
    attempt = mailing(b"P")
    for _ in range(CLOSINGS - 1):
        closed = Verdict(Follows.PENDING, Cause(Stage.RCPT, 421, "4.7.0"))
        assert attempt.concluded(body_out(attempt), closed) is Follows.THROTTLED
    attempt.concluded(body_out(attempt), SENT)
    assert attempt.ledger.counts() == {Outcome.SENT: 1}


def test_a_mark_is_kept_by_who_is_refused_for_the_rate() -> None:
    attempt = mailing(b"p")
    attempt.concluded(body_out(attempt), REFUSED)
    attempt.concluded(body_out(attempt), SENT)
    assert outcomes(attempt) == {0: (Outcome.SENT, True)}


@pytest.mark.parametrize("last_try", [False, True])
def test_a_rate_limit_defers_nobody_and_expires_nobody(last_try: bool) -> None:
    """Every second mail comes too fast."""
    attempt = mailing(b"P" * 500, last_try=last_try)
    for number in range(2_000):
        if attempt.has_pending:
            attempt.concluded(body_out(attempt), SENT if number % 2 else REFUSED)
    assert attempt.ledger.counts() == {Outcome.SENT: 500}


@pytest.mark.parametrize("share", [2, 10, 100])
def test_greylisting_that_reads_like_a_rate_defers_those_whom_it_meets(share: int) -> None:
    attempt = mailing(b"P" * 1_000)
    tries = 0
    while attempt.has_pending:
        intent = body_out(attempt)
        tries += 1
        attempt.concluded(intent, REFUSED if intent.row % share == 0 else SENT)
    assert attempt.ledger.counts() == {Outcome.SENT: 1_000 - 1_000 // share, Outcome.DEFERRED: 1_000 // share}
    assert tries <= 1_000 + 2 * (STUBBORN + 1) * CERTAIN, "few are tried again"


def test_greylisting_of_everybody_passes_when_its_time_is_over() -> None:
    """Five minutes after its first try each recipient is taken; the relay takes nobody before."""
    attempt = mailing(b"P" * 200)
    first_tried: dict[int, float] = {}
    now = 0.0
    while now < 400 and attempt.has_pending:  # halted: one mail at a time
        keep_lease(attempt, now)
        intent = body_out(attempt, now)
        is_over = now - first_tried.setdefault(intent.row, now) >= 300
        attempt.concluded(intent, SENT if is_over else REFUSED)
        now += 10.0 if now < 310 else 0.1
    assert not attempt.has_pending
    counts = attempt.ledger.counts()
    assert counts[Outcome.SENT] >= 1
    assert counts[Outcome.DEFERRED] == 200 - counts[Outcome.SENT], "the others wait for their next try"


def keep_lease(attempt: Attempt, now: float) -> None:
    """Heartbeats often enough for a lease from before until `now`."""
    told = max(0.0, now - LEASE / 2)
    beat(attempt, now=told)

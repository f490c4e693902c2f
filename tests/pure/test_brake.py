"""A stop before damage: when too many are rejected, an attempt hands back in the midst of its slice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.attempt import STREAK, Attempt, Phase
from batchmail.batch.brake import LEAST_SETTLED, Brake
from batchmail.batch.outcomes import Cause, Follows, Outcome, Stage, Verdict
from tests.pure.attempts import BUSY, NO_MAILBOX, NO_RELAYING, SENT, acknowledged, beat, mailing, named, phase

LIMIT = Brake(limit_percent=20)


def run(attempt: Attempt, *verdicts: Verdict) -> list[Phase]:
    """Each verdict for the next recipient, as long as there is one; the phase after each."""
    phases = []
    for verdict in verdicts:
        if not attempt.has_pending:
            break
        attempt.concluded(acknowledged(attempt), verdict)
        phases.append(phase(attempt))
    return phases


@pytest.mark.parametrize(
    ("settled", "rejected", "passed"),
    [
        (99, 99, False),
        (100, 20, False),
        (100, 21, True),
        (1_000, 200, False),
        (1_000, 201, True),
        (0, 0, False),
    ],
)
def test_more_than_the_limit_of_at_least_a_hundred_are_too_many(
    settled: int, rejected: int, passed: bool
) -> None:
    assert Brake(limit_percent=20, settled=settled, rejected=rejected).is_passed is passed


def test_who_was_not_mailed_does_not_count() -> None:
    brake = LIMIT.plus({Outcome.REJECTED: 30, Outcome.SENT: 50, Outcome.SUPPRESSED: 900, Outcome.DEFERRED: 9})
    assert (brake.settled, brake.rejected) == (80, 30)


def test_the_limit_of_everybody_is_never_passed() -> None:
    assert not Brake(limit_percent=100, settled=1_000, rejected=1_000).is_passed


def test_what_is_said_never_reads_as_if_the_limit_held() -> None:
    assert str(Brake(limit_percent=20, settled=600, rejected=143)) == (
        "143 of 600 recipients were rejected (23.9 %, limit 20 %)"
    )
    assert "(20.1 %, limit 20 %)" in str(Brake(limit_percent=20, settled=100_000, rejected=20_001))


@given(
    st.floats(0, 99.9),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**5),
    st.integers(0, 50),
)
def test_nobody_looks_too_late(limit: float, settled: int, rejected: int, more: int, sent: int) -> None:
    brake = Brake(limit_percent=limit, settled=settled, rejected=min(rejected, settled))
    if not brake.is_passed and more < brake.room:
        assert not brake.plus({Outcome.REJECTED: more, Outcome.SENT: sent}).is_passed


def test_a_slice_stops_at_the_very_rejection_that_is_too_many() -> None:
    attempt = mailing(b"P" * 1_000)
    attempt.heed(LIMIT)
    half = [NO_MAILBOX, SENT] * 400
    phases = run(attempt, *half)
    assert len(phases) == LEAST_SETTLED + 1, "the hundredth was sent to; the next rejection is too many"
    assert phases[-1] is Phase.STOPPING
    assert Phase.STOPPING not in phases[:-1]
    assert attempt.why_stopping == "too many were rejected"


def test_what_ended_slices_came_to_counts_beside_its_own() -> None:
    attempt = mailing(b"P" * 100)
    attempt.heed(Brake(limit_percent=20, settled=1_000, rejected=195))
    assert len(run(attempt, SENT, *[NO_MAILBOX] * 50)) == 1 + 7, "202 of 1,008; 201 of 1,007 are not 20 %"


def test_fresh_numbers_from_the_batch_replace_the_old_ones() -> None:
    attempt = mailing(b"P" * 500)
    attempt.heed(Brake(limit_percent=20, settled=10_000, rejected=0))
    run(attempt, SENT, *[NO_MAILBOX] * 100)
    attempt.heed(Brake(limit_percent=20, settled=10_000, rejected=1_990))
    assert phase(attempt) is Phase.MAILING
    assert run(attempt, NO_MAILBOX) == [Phase.STOPPING]


def test_whoever_accepts_the_rejections_is_not_stopped_again() -> None:
    attempt = mailing(b"P" * 300)
    attempt.heed(LIMIT)
    attempt.heed(None)
    assert len(run(attempt, SENT, *[NO_MAILBOX] * 299)) == 300


def test_who_was_named_and_not_acknowledged_is_withdrawn_and_others_settle() -> None:
    attempt = mailing(b"P" * 200)
    attempt.heed(Brake(limit_percent=20, settled=100, rejected=20))
    settling, last = acknowledged(attempt), acknowledged(attempt)
    early = named(attempt)
    run_out = attempt.concluded(last, NO_MAILBOX)
    assert run_out is Follows.REJECTED
    assert phase(attempt) is Phase.STOPPING
    assert not early.open
    assert attempt.may_send_body(settling, 0.0)
    attempt.concluded(settling, SENT)
    beat(attempt)
    assert attempt.is_drained
    assert attempt.ledger.counts() == {Outcome.REJECTED: 1, Outcome.SENT: 1}


def test_deferred_recipients_are_not_rejected_ones() -> None:
    attempt = mailing(b"P" * 300)
    attempt.heed(LIMIT)
    assert len(run(attempt, SENT, *[BUSY] * 299)) == 300


def test_refusals_that_may_yet_be_the_relays_fault_are_waited_for() -> None:
    attempt = mailing(b"P" * 300)
    attempt.heed(Brake(limit_percent=20, settled=1_000, rejected=200))
    assert set(run(attempt, *[NO_RELAYING] * STREAK)) == {Phase.MAILING}
    assert attempt.ledger.counts() == {}, "the streak: nobody was rejected"


def test_different_refusals_are_nobodys_streak() -> None:
    attempt = mailing(b"P" * 300)
    attempt.heed(Brake(limit_percent=20, settled=1_000, rejected=200))
    spam = Verdict(Follows.REJECTED, Cause(Stage.DOT, 554, "5.7.9"))
    assert run(attempt, NO_RELAYING, spam) == [Phase.MAILING, Phase.STOPPING]

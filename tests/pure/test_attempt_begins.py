"""How an attempt begins: first heartbeat, marker, listing, and who is in doubt."""

from __future__ import annotations

import pytest

from batchmail.batch.attempt import Phase
from batchmail.batch.ledger import Ledger
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import Outcome
from tests.pure.attempts import (
    BUSY,
    NO_MAILBOX,
    SENT,
    attempt_on,
    beat,
    body_out,
    file_of,
    mailing,
    named,
    outcomes,
    phase,
    states,
)


def test_the_first_heartbeat_names_nobody_and_changes_only_the_nonces() -> None:
    attempt = attempt_on(b"PIps", nonces=("old",))
    assert attempt.name() is None
    record = attempt.heartbeat(0.0)
    assert record is not None
    assert bytes(Ledger.read(record).states) == b"PIps"
    assert record.nonces == ("old", "me")


def test_nobody_is_named_before_the_first_acknowledgement_and_the_listing() -> None:
    attempt = attempt_on(b"PP")
    assert phase(attempt) is Phase.OPENING
    beat(attempt)
    assert phase(attempt) is Phase.MARKING
    assert attempt.name() is None
    attempt.listed(["me"], [])
    assert phase(attempt) is Phase.MAILING
    assert named(attempt).row == 0


def test_a_listing_before_the_first_acknowledgement_decides_nothing() -> None:
    attempt = attempt_on(b"IP")
    attempt.listed(["me", "stranger"], [])
    assert states(attempt) == b"IP"
    assert phase(attempt) is Phase.OPENING


def test_doubts_are_sent_again_only_after_an_acknowledgement_of_ones_own() -> None:
    attempt = mailing(b"I", known=("dead",), markers=("dead",))
    intent = named(attempt)
    assert not attempt.may_send_body(intent, 0.0)
    assert beat(attempt) == [intent]
    assert attempt.may_send_body(intent, 0.0)


def test_who_was_named_by_a_dead_attempt_is_resent_with_the_mark() -> None:
    attempt = mailing(b"IP", known=("dead",), markers=("dead",))
    assert states(attempt) == b"pP"
    attempt.concluded(body_out(attempt), SENT)
    assert outcomes(attempt) == {0: (Outcome.SENT, True)}
    assert attempt.ledger.resent == 1


def test_under_hold_who_was_named_by_a_dead_attempt_is_unknown_and_never_named_again() -> None:
    attempt = mailing(b"IP", InDoubt.HOLD, known=("dead",), markers=("dead",))
    assert outcomes(attempt) == {0: (Outcome.UNKNOWN, True)}
    assert named(attempt).row == 1
    assert attempt.name() is None


def test_a_handed_back_part_knows_its_predecessors_marker_and_doubts_nobody() -> None:
    attempt = mailing(b"P-P", known=("before",), markers=("before",))
    assert states(attempt) == b"P-P"


def test_a_strangers_marker_throws_everyone_unsettled_into_doubt() -> None:
    attempt = mailing(b"PIpiDd-U", markers=("lost",))
    assert states(attempt) == b"ppppdd-U"
    assert "lost" in attempt.ledger.nonces


def test_a_strangers_marker_under_hold_makes_everyone_unsettled_unknown() -> None:
    attempt = mailing(b"PIpiDd-S", InDoubt.HOLD, markers=("lost",))
    assert states(attempt) == b"UUUUUU-s"


def test_what_a_ledger_with_strangers_calls_settled_keeps_its_outcome_and_gets_the_mark() -> None:
    ledger = Ledger(1, b"SPPP")
    ledger.settle(1, Outcome.REJECTED, NO_MAILBOX.cause)
    ledger.settle(2, Outcome.DEFERRED, BUSY.cause)
    attempt = mailing(ledger, markers=("lost",))
    assert outcomes(attempt) == {0: (Outcome.SENT, True), 1: (Outcome.REJECTED, True)}
    assert states(attempt)[2:] == b"dp"


def test_an_outcome_file_of_a_lost_ledger_is_believed() -> None:
    file = file_of(b"SsU-", "lost")
    attempt = mailing(b"PPPP", markers=("lost",), files=(file,))
    assert states(attempt) == b"SsUp"


def test_an_outcome_file_that_does_not_know_every_other_attempt_leaves_the_mark() -> None:
    attempt = mailing(b"PP", markers=("lost", "later"), files=(file_of(b"S-", "lost"),))
    assert states(attempt) == b"sp"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_outcome_files_the_doubtful_one_is_believed(order: int) -> None:
    files = (file_of(b"S", "a", "b"), file_of(b"S", "a"))[::order]
    assert states(mailing(b"P", markers=("a", "b"), files=files)) == b"s"

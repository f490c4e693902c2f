"""An attempt's decisions, one by one: the rules of docs/architecture.md, "The life of a slice"."""

from __future__ import annotations

import pytest

from batchmail.batch.attempt import STREAK, Answer, Attempt, Intent, Phase, streak
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import NO_CAUSE, Cause, Follows, Outcome, Stage, Verdict

LEASE = 10.0

SENT = Verdict(Follows.SENT, Cause(Stage.DOT, 250))
NO_MAILBOX = Verdict(Follows.REJECTED, Cause(Stage.RCPT, 550, "5.1.1"))
NO_RELAYING = Verdict(Follows.REJECTED, Cause(Stage.RCPT, 554, "5.7.1"))
BUSY = Verdict(Follows.DEFERRED, Cause(Stage.RCPT, 450, "4.2.0"))
AT_FAULT = Verdict(Follows.RELAY_FAULT, Cause(Stage.MAIL, 530, "5.7.0"))
LOST_BEFORE = Verdict(Follows.PENDING, Cause(Stage.DATA))
LOST_AFTER = Verdict(Follows.IN_DOUBT, Cause(Stage.DOT))


def attempt_on(
    states: bytes | Ledger,
    in_doubt: InDoubt = InDoubt.RESEND,
    *,
    nonce: str = "me",
    nonces: tuple[str, ...] = (),
    last_try: bool = False,
) -> Attempt:
    """A new attempt that has found a ledger with these states, which descends from `nonces`."""
    ledger = states if isinstance(states, Ledger) else Ledger(1, states)
    ledger.nonces += nonces
    return Attempt(ledger, nonce, in_doubt=in_doubt, lease=LEASE, last_try=last_try)


def mailing(
    states: bytes | Ledger,
    in_doubt: InDoubt = InDoubt.RESEND,
    *,
    known: tuple[str, ...] = (),
    files: tuple[LedgerRecord, ...] = (),
    markers: tuple[str, ...] = (),
    last_try: bool = False,
) -> Attempt:
    """An attempt that has done all that comes before mailing, at time 0."""
    attempt = attempt_on(states, in_doubt, nonces=known, last_try=last_try)
    beat(attempt)
    attempt.listed(["me", *markers], files)
    return attempt


def beat(attempt: Attempt, answer: Answer = Answer.YES, now: float = 0.0) -> list[Intent]:
    """One heartbeat and its answer; the intents that are now acknowledged."""
    assert attempt.heartbeat(now) is not None
    return attempt.heard(answer, now)


def named(attempt: Attempt) -> Intent:
    intent = attempt.name()
    assert intent is not None
    return intent


def acknowledged(attempt: Attempt, now: float = 0.0) -> Intent:
    """The next recipient, named and acknowledged."""
    intent = named(attempt)
    assert intent in beat(attempt, now=now)
    return intent


def body_out(attempt: Attempt, now: float = 0.0) -> Intent:
    """The next recipient, whose body has gone out."""
    intent = acknowledged(attempt, now)
    assert attempt.may_send_body(intent, now)
    return intent


def states(attempt: Attempt) -> bytes:
    return bytes(attempt.ledger.states)


def outcomes(attempt: Attempt) -> dict[int, tuple[Outcome, bool]]:
    return {row: (outcome, marked) for row, outcome, _, marked in attempt.ledger.settled()}


# mypy takes an attribute for unchanged between two asserts; what a function returns it does not.


def phase(attempt: Attempt) -> Phase:
    return attempt.phase


def drained(attempt: Attempt) -> bool:
    return attempt.is_drained


def told_all(attempt: Attempt) -> bool:
    return attempt.is_acknowledged


# How an attempt begins


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


def file_of(states: bytes, *nonces: str) -> LedgerRecord:
    ledger = Ledger(1, states)
    ledger.nonces += nonces
    return ledger.outcomes()


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


@pytest.mark.parametrize("cause", [Cause(Stage.RCPT, 421), Cause(Stage.MAIL), Cause(Stage.MAIL, 451)])
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

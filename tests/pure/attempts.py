"""Attempts on their way, for the tests of their decisions: the driver's part in a few words."""

from __future__ import annotations

from batchmail.batch.attempt import Answer, Attempt, Intent, Phase
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import Cause, Follows, Outcome, Stage, Verdict

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
    nonces: tuple[str, ...] = (),
    last_try: bool = False,
) -> Attempt:
    """A new attempt that has found a ledger with these states, which descends from `nonces`."""
    ledger = states if isinstance(states, Ledger) else Ledger(1, states)
    ledger.nonces += nonces
    return Attempt(ledger, "me", in_doubt=in_doubt, lease=LEASE, last_try=last_try)


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


def file_of(states: bytes, *nonces: str) -> LedgerRecord:
    ledger = Ledger(1, states)
    ledger.nonces += nonces
    return ledger.outcomes()


# mypy takes an attribute for unchanged between two asserts; what a function returns it does not.


def phase(attempt: Attempt) -> Phase:
    return attempt.phase


def drained(attempt: Attempt) -> bool:
    return attempt.is_drained


def told_all(attempt: Attempt) -> bool:
    return attempt.is_acknowledged

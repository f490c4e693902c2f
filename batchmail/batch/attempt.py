"""One attempt of a slice, as a state machine without I/O: docs/architecture.md, "The life of a slice".

It is told what was heard (answers to heartbeats, markers in the store, verdicts of the relay, requests to
stop) and says what may be done next: what a heartbeat carries, who may be named, whether a body may leave,
how the attempt ends. It sends nothing, waits for nothing and asks no clock: `now` is always given, in seconds
on a clock that runs while the machine sleeps.

What it guarantees, whatever is lost, late or doubled around it: a body may leave only for an intent that the
server has acknowledged, within the lease that acknowledgement gave; an attempt whose lease ran out, or that
was told it is no longer wanted, never says anything again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum

from batchmail.batch import ledger as at
from batchmail.batch.brake import Brake
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import NO_CAUSE, Cause, Follows, Outcome, Stage, Verdict
from batchmail.batch.throttle import Throttle

LOSSES_ALLOWED = 1
"""A recipient whose transaction lost its connection more often than this is deferred."""

COUNTED_EVERY = 0.2
"""Seconds between two counts of a ledger's rows: what people see of it need not be newer."""

STREAK = 20
"""So many answers, all one and the same refusal and nobody accepted, are the relay's fault."""


class Answer(Enum):
    """What the server said to a heartbeat."""

    YES = "yes"
    YES_STOP = "yes, and cancellation is requested"
    YES_END = "yes, and an operator paused or reset the activity"
    GONE = "this attempt is no longer wanted"
    UNCLEAR = "anything else"


class Phase(Enum):
    """Where an attempt is in its life."""

    OPENING = "the first heartbeat, which names nobody, is not acknowledged yet"
    MARKING = "the marker is to be written, and the store's markers to be listed"
    MAILING = "recipients are named and mailed"
    STOPPING = "nobody new is named; what is in flight is settled, then a result"
    FAILING = "nobody new is named; what is in flight is settled within the lease, then a failure"
    DEAD = "every connection is closed and nothing more is said"


class Intent:
    """One naming of one row. Bodies go out for acknowledged, open intents only."""

    __slots__ = ("acknowledged", "body_out", "open", "row")

    def __init__(self, row: int) -> None:
        self.row = row
        self.acknowledged = False
        self.body_out = False
        self.open = True


class Attempt:
    """The decisions of one attempt.

    `ledger`: what was found (heartbeat details, else the part's input, else all rows pending). `lease`:
    seconds an acknowledgement is good for, the heartbeat timeout. `last_try`: who is deferred now is given
    up.
    """

    def __init__(
        self, ledger: Ledger, nonce: str, *, in_doubt: InDoubt, lease: float, last_try: bool = False
    ) -> None:
        self.ledger = ledger
        self.nonce = nonce
        self.phase = Phase.OPENING
        self.why_stopping = ""
        self.cancelled = False
        self.is_braked = False
        self.has_answers = False
        """Whether the relay has answered for anybody: it is not waited for, as far as this attempt knows."""
        if nonce not in ledger.nonces:
            ledger.nonces.append(nonce)
        self._in_doubt = in_doubt
        self._lease = lease
        self._lease_end: float | None = None
        self._last_try = last_try
        self._cursor = 0
        self._again: deque[int] = deque()
        self._open: set[Intent] = set()
        self._unsent: list[Intent] = []
        self._asked: list[Intent] = []
        self._asked_at: float | None = None
        self._asked_changes = 0
        self._changes = 1
        self._acknowledged_changes = 0
        self._losses: dict[int, int] = {}
        self._fault: Cause | None = None
        self._fresh_first = False
        self._in_turn = False
        self._told = 0.0  # the time that was told last
        self.throttle = Throttle()
        self._counts: dict[str, int] = {}
        self._counted_at = -COUNTED_EVERY
        self._abandoned = False
        self._brake: Brake | None = None
        self._rejections_to_count = 0

    # Heartbeats: one at a time

    @property
    def has_news(self) -> bool:
        """Whether a heartbeat would tell the server anything new."""
        return self._changes != self._acknowledged_changes

    @property
    def beating(self) -> bool:
        """Whether a heartbeat is on its way."""
        return self._asked_at is not None

    def lease_left(self, now: float) -> float:
        """Seconds of lease left; the whole length before the first acknowledgement."""
        return self._lease if self._lease_end is None else self._lease_end - now

    def heartbeat(self, now: float, waiting: str = "") -> LedgerRecord | None:
        """The details of the next heartbeat, or None where there must not be another (now)."""
        if self.beating or self.phase is Phase.FAILING or not self.has_lease(now):
            return None
        self._asked, self._unsent = self._unsent, []
        self._asked_at = now
        self._asked_changes = self._changes
        if now >= self._counted_at + COUNTED_EVERY:
            self._counts, self._counted_at = self.ledger.shown_counts(), now
        return self.ledger.record(waiting, self._counts)

    def heard(self, answer: Answer, now: float) -> list[Intent]:
        """The answer to the heartbeat on its way; returns the intents that are now acknowledged."""
        asked, self._asked = self._asked, []
        asked_at, self._asked_at = self._asked_at, None
        if asked_at is None or self.phase is Phase.DEAD:
            return []
        if answer is Answer.GONE:
            self.die()
            return []
        if answer is Answer.UNCLEAR:
            # Never again a heartbeat: a late one must not turn the ledger back.
            self._end_by_failure(asked)
            return []
        if not self.has_lease(now):
            return []
        self._lease_end = asked_at + self._lease
        if not self.has_lease(now):
            return []
        self._acknowledged_changes = self._asked_changes
        if answer is Answer.YES_END:
            self._end_by_failure(asked)
            return []
        if answer is Answer.YES_STOP:
            self._withdraw(asked)
            self.stop("cancellation was requested")
            asked = []
        if self.phase is Phase.OPENING:
            self.phase = Phase.MARKING
        allowed = [intent for intent in asked if intent.open]
        for intent in allowed:
            intent.acknowledged = True
        return allowed

    def has_lease(self, now: float) -> bool:
        """Whether the lease is good; once found run out, the attempt is dead for good."""
        self._told = now
        if self.phase is Phase.DEAD:
            return False
        if self._lease_end is not None and now >= self._lease_end:
            self.die()
            return False
        return True

    def die(self) -> None:
        """Superseded, or not known to be otherwise: nothing more is said or sent."""
        self.phase = Phase.DEAD

    # The store

    def listed(self, nonces: Iterable[str], files: Iterable[LedgerRecord]) -> None:
        """The slice's markers and outcome files, listed after this attempt's own marker was written.

        `files` are read only where `strangers` says so. Decides who is in doubt.
        """
        if self.phase is not Phase.MARKING:
            return
        ledger = self.ledger
        strangers = self.strangers(nonces)
        if strangers:
            ledger.collapse_deferred()
            # A ledger was lost, or ran backwards: what it calls settled stays, in doubt.
            for row, state in enumerate(ledger.states):
                if state not in _UNSETTLED and state != at.ABSENT:
                    ledger.mark(row)
            others = set(nonces) - {self.nonce}
            for record in files:
                ledger.adopt(record, marked=not others <= set(record.nonces))
            for row in list(ledger.rows(*_UNSETTLED)):
                self._doubt(row)
            ledger.nonces += sorted(strangers)
        else:
            for row in list(ledger.rows(at.NAMED, at.NAMED_MARKED)):
                self._doubt(row)
        self._again.extend(ledger.rows(at.PENDING_MARKED))
        self._changes += 1
        self.phase = Phase.STOPPING if self.why_stopping else Phase.MAILING

    def strangers(self, nonces: Iterable[str]) -> set[str]:
        """The attempts that have begun and that this attempt's ledger does not descend from."""
        return set(nonces) - set(self.ledger.nonces)

    # Recipients

    @property
    def may_name_more(self) -> bool:
        """Whether a connection is still busy with somebody named before, and will name somebody else next."""
        return len(self._unsent) < len(self._open) and self.phase is Phase.MAILING

    @property
    def has_pending(self) -> bool:
        """Whether `name` would find somebody."""
        if self.phase is not Phase.MAILING:
            return False
        return bool(self._again) or self._fresh() >= 0

    def name(self) -> Intent | None:
        """The next pending row becomes an intent, or None where nobody is to be named.

        After a relay fault those who met it wait behind the others: it may be theirs alone. Once there was a
        refusal for the rate, those who are tried again and others take turns: what comes of both tells whose
        it is.
        """
        if not self.has_pending:
            return None
        tried_before = bool(self._again) and not (self._fresh_first and self._fresh() >= 0)
        if tried_before:
            row = self._again.popleft()
        else:
            row = self._fresh()
            self._cursor = row + 1
        if self._in_turn:
            self._fresh_first = tried_before
        self.ledger.name(row)
        self.throttle.named(row)
        intent = Intent(row)
        self._open.add(intent)
        self._unsent.append(intent)
        self._changes += 1
        return intent

    def may_send_body(self, intent: Intent, now: float) -> bool:
        """Whether this intent's body may leave at this very instant; if so, it is taken as gone out.

        Once only: one acknowledgement allows one transaction.
        """
        if not intent.acknowledged or not intent.open or intent.body_out or not self.has_lease(now):
            return False
        intent.body_out = True
        return True

    def concluded(self, intent: Intent, verdict: Verdict) -> Follows:
        """What the relay made of an intent; returns what in fact follows.

        A streak is the relay's fault, and so may be a refusal that speaks of the rate.
        """
        if not intent.open or self.phase is Phase.DEAD:
            return verdict.follows
        self._close(intent)
        row, cause = intent.row, verdict.cause
        follows = verdict.follows
        if follows is Follows.SENT:
            self._fresh_first &= self._in_turn
            self.throttle.taken(row, self._told)
            self.ledger.settle(row, Outcome.SENT, NO_CAUSE)
        elif _may_be_throttled(verdict) and self.throttle.is_the_relays(row, cause, self._told):
            self._pend(row)
            if not self._in_turn:
                self._in_turn, self._fresh_first = True, False
            follows = Follows.THROTTLED
        elif follows in (Follows.REJECTED, Follows.DEFERRED):
            follows = self._refused(row, follows, cause)
        elif follows is Follows.RELAY_FAULT:
            self._pend(row)
        else:
            self._lost(row, follows is Follows.IN_DOUBT, cause)
        self.has_answers |= follows in (Follows.SENT, Follows.REJECTED, Follows.DEFERRED)
        if follows is Follows.RELAY_FAULT:
            self._fresh_first = True
        return follows

    def withdraw(self, intent: Intent) -> None:
        """The intent is given up before its body: the row is pending."""
        if intent.open and not intent.body_out:
            self._close(intent)
            self._pend(intent.row)

    # Endings

    def stop(self, why: str) -> list[Intent]:
        """Hand back: nobody new is named. Returns the unacknowledged intents, which are withdrawn."""
        if self.phase in (Phase.OPENING, Phase.MARKING, Phase.MAILING):
            self.why_stopping = self.why_stopping or why
            if self.phase is not Phase.MAILING:
                return []
            self.phase = Phase.STOPPING
            return self._withdraw(self._unsent + self._asked)
        return []

    def give_up(self) -> None:
        """End by a failure that carries the ledger: a result cannot be had now."""
        if self.phase is not Phase.DEAD:
            self._end_by_failure(self._asked)

    def heed(self, brake: Brake | None) -> None:
        """From now on hand back when too many are rejected: those the brake counts, and this part's own."""
        if brake != self._brake:
            self._brake, self._rejections_to_count = brake, 0

    def cancel(self) -> list[Intent]:
        """The batch is cancelled: hand back, with everybody left settled as not to be mailed."""
        self.cancelled = True
        return self.stop("the batch was cancelled")

    def closed(self, intent: Intent) -> None:
        """Its connection was closed from our side: once the body had begun to go out, the row is in doubt."""
        if intent.open:
            self._close(intent)
            if intent.body_out:
                self._doubt(intent.row)
                if self.ledger.states[intent.row] == at.PENDING_MARKED:
                    self._again.append(intent.row)
            else:
                self._pend(intent.row)

    def settle_the_rest(self) -> None:
        """After a cancel, once nothing is in flight: everyone left gets the outcome of not being mailed."""
        if not self.cancelled or self._abandoned or self.phase is not Phase.STOPPING or self._open:
            return
        self._abandoned = True
        ledger = self.ledger
        for row in list(ledger.rows(at.PENDING)):
            ledger.settle(row, Outcome.SUPPRESSED, NO_CAUSE)
        for row in list(ledger.rows(at.DEFERRED)):
            ledger.settle(row, Outcome.EXPIRED, NO_CAUSE)
        for row in list(ledger.rows(at.PENDING_MARKED, at.DEFERRED_MARKED)):
            ledger.settle(row, Outcome.UNKNOWN, NO_CAUSE)
        for place, (outcome, cause) in enumerate(list(ledger.legend)):
            if outcome is Outcome.DEFERRED:
                for row in list(ledger.rows_of(place)):
                    marked = ledger.is_marked(row)
                    ledger.settle(row, Outcome.UNKNOWN if marked else Outcome.EXPIRED, cause)
        self._changes += 1

    @property
    def is_drained(self) -> bool:
        """Whether nothing is in flight and nobody is to be named: the attempt may end."""
        if self._open:
            return False
        if self.phase is Phase.MAILING:
            return not self.has_pending
        return self.phase in (Phase.STOPPING, Phase.FAILING, Phase.DEAD)

    @property
    def is_acknowledged(self) -> bool:
        """Whether the server has all of the ledger."""
        return not self.has_news and not self.beating

    # How it is done

    def _fresh(self) -> int:
        """The first row pending from the start and never named here, or -1. Others are in `_again`."""
        if self._cursor >= 0:
            self._cursor = self.ledger.states.find(at.PENDING, self._cursor)
        return self._cursor

    def _close(self, intent: Intent) -> None:
        intent.open = False
        self._open.discard(intent)
        self._changes += 1

    def _pend(self, row: int) -> None:
        self.ledger.pend(row)
        self._again.append(row)

    def _doubt(self, row: int) -> None:
        """The row may or may not have been mailed: by policy it is to be mailed again, or held."""
        ledger = self.ledger
        if self._in_doubt is InDoubt.HOLD:
            ledger.settle(row, Outcome.UNKNOWN, NO_CAUSE)
        elif ledger.states[row] in (at.DEFERRED, at.DEFERRED_MARKED):
            ledger.mark(row)
        else:
            ledger.states[row] = at.PENDING_MARKED

    def _lost(self, row: int, after_the_body: bool, cause: Cause) -> None:
        if cause.code == 421 and cause.stage in (Stage.RSET, Stage.MAIL):
            # The relay closes the connection, before it has heard of the recipient.
            self._pend(row)
            return
        losses = self._losses[row] = self._losses.get(row, 0) + 1
        if after_the_body:
            self._doubt(row)
            if self.ledger.states[row] == at.UNKNOWN:
                return
        if losses > LOSSES_ALLOWED:
            self._defer(row, cause)
        else:
            self._pend(row)

    def _defer(self, row: int, cause: Cause) -> None:
        if not self._last_try:
            self.ledger.settle(row, Outcome.DEFERRED, cause)
        elif self.ledger.is_marked(row):
            self.ledger.settle(row, Outcome.UNKNOWN, cause)
        else:
            self.ledger.settle(row, Outcome.EXPIRED, cause)

    def _refused(self, row: int, follows: Follows, cause: Cause) -> Follows:
        if cause == self._fault and not self._somebody_accepted():
            self._pend(row)
            return Follows.RELAY_FAULT
        if follows is Follows.REJECTED:
            self.ledger.settle(row, Outcome.REJECTED, cause)
        else:
            self._defer(row, cause)
        if not self._somebody_accepted() and streak(self.ledger.refusals()) == cause:
            self._fault = cause
            self._again.extend(self.ledger.revert(cause))
            return Follows.RELAY_FAULT
        if follows is Follows.REJECTED and self._too_many_rejected():
            # Those not acknowledged yet lose their connections with the next heartbeat's answer.
            self.is_braked = True
            self.stop("too many were rejected")
        return follows

    def _too_many_rejected(self) -> bool:
        """Asked at each rejection; rows are counted anew only when there may be too many."""
        self._rejections_to_count -= 1
        if self._brake is None or self._rejections_to_count > 0:
            return False
        with_own = self._brake.plus(self.ledger.counts())
        self._rejections_to_count = with_own.room
        if not with_own.is_passed:
            return False
        # They may yet turn out to be the relay's fault.
        return self._somebody_accepted() or streak(self.ledger.refusals(), least=1) is None

    def _somebody_accepted(self) -> bool:
        ledger = self.ledger
        return ledger.accepted or at.SENT in ledger.states or at.SENT_MARKED in ledger.states

    def _withdraw(self, intents: Iterable[Intent]) -> list[Intent]:
        withdrawn = [intent for intent in intents if intent.open and not intent.acknowledged]
        for intent in withdrawn:
            self.withdraw(intent)
        return withdrawn

    def _end_by_failure(self, asked: list[Intent]) -> None:
        self.phase = Phase.FAILING
        self._withdraw(asked + self._unsent)


def streak(refusals: dict[Cause, int], least: int = STREAK) -> Cause | None:
    """The cause that is the relay's fault, if the first answers of a slice were all one and the same refusal.

    Nobody has been accepted yet (the caller's knowledge). Lost connections (code 0) are no answers. Refusals
    about an address or a mailbox (x.1.x, x.2.x) or about the message's size are never the relay's. Postfix
    and others report refusals of sender and login at RCPT.
    """
    answers = [cause for cause in refusals if cause.code]
    if len(answers) != 1 or refusals[answers[0]] < least:
        return None
    cause = answers[0]
    about_the_recipient = cause.enhanced[1:4] in (".1.", ".2.")
    about_the_message = cause.code == 552 or cause.enhanced[1:] == ".3.4"
    return None if about_the_recipient or about_the_message else cause


def _may_be_throttled(verdict: Verdict) -> bool:
    """Deferred, or closed by 421 once the relay has heard of the recipient."""
    follows, cause = verdict
    closed = follows is Follows.PENDING and cause.code == 421
    return follows is Follows.DEFERRED or (closed and cause.stage not in (Stage.RSET, Stage.MAIL))


_UNSETTLED = (
    at.PENDING,
    at.PENDING_MARKED,
    at.NAMED,
    at.NAMED_MARKED,
    at.DEFERRED,
    at.DEFERRED_MARKED,
)

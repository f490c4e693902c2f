"""The connections of one slice: each takes recipient after recipient, as the attempt allows.

An idle connection takes the next recipient at once: its envelope goes to the relay while its intent goes to
Temporal. The body follows when both have answered and the lease is good, with no await between check and
write.

A connection that is refused or dropped costs only itself; a relay that admits fewer than asked for, or limits
the rate, is used with what it takes (activities/limits.py). While no connection can be had, or sender or
login is refused, the slice waits with growing delays and fails nobody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from activities import events
from activities.clock import lease_now
from activities.mails import Mails
from activities.pool import Pool
from batchmail.batch.attempt import Attempt, Intent, Phase
from batchmail.batch.ledger import NAMED, NAMED_MARKED, PENDING, PENDING_MARKED
from batchmail.batch.outcomes import NO_CAUSE, Cause, Follows, Stage, Verdict
from batchmail.batch.progress import Waiting
from batchmail.engine.metrics import DROPPED
from batchmail.errors import FillError
from batchmail.relay.connect import open_session
from batchmail.relay.faults import UnusableRelayError
from batchmail.relay.reasons import reason
from batchmail.relay.session import Session
from batchmail.settings import Relay

OPENED_AT_ONCE = 50
WORDS_KEPT = 5_000
LONGEST_PAUSE, SHORTEST_PAUSE = 1.0, 0.005
"""Seconds between two looks at the clock."""

_UNFIT_ADDRESS = Verdict(Follows.REJECTED, Cause(Stage.RCPT, 553, "5.1.3"))
_NOT_FILLED = Verdict(Follows.REJECTED, Cause(Stage.FILL))
_BEFORE_MAILING = (Phase.OPENING, Phase.MARKING)
_NOT_ENDING = (*_BEFORE_MAILING, Phase.MAILING)
_ANSWERED = (Follows.SENT, Follows.REJECTED, Follows.DEFERRED)


class Lanes:
    """The connections of one attempt; `changed` is called whenever the attempt has something new to tell.

    `faults`: how often the relay was at fault, by stage (a Stage's value, or DROPPED).

    `most`: connections this slice may use. `opens`: whether it opens them itself, from the start, or only
    uses those that other slices of its worker leave.
    """

    def __init__(
        self,
        attempt: Attempt,
        *,
        relay: Relay,
        pool: Pool,
        batch: str,
        most: int,
        opens: bool,
        changed: Callable[[], None],
    ) -> None:
        self._attempt = attempt
        self._mails: Mails | None = None
        self._relay = relay
        self._pool = pool
        self._batch = batch
        self._most = most
        self._opens = opens
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._intents: dict[Session, Intent] = {}
        self._sessions: dict[Intent, Session] = {}
        self._wanted: set[Intent] = set()
        self._idle: list[Session] = []
        self._opening = 0
        self._has_left = False
        self._wake = asyncio.Event()
        self._limits = pool.limits(batch)
        self._limits.users.add(self)
        self.words: dict[int, bytes] = {}
        self.faults: Counter[str] = Counter()

    # The life of the lanes

    @property
    def waiting(self) -> Waiting | None:
        """What the slice waits for, if it does."""
        concerned = self._attempt.phase in _NOT_ENDING and (self._opens or self.held)
        return self._limits.waiting if concerned and not self._attempt.is_drained else None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._intents) + len(self._idle)

    @property
    def held(self) -> int:
        """How many are open or being opened."""
        return self.connections + self._opening

    def look_again(self) -> None:
        """More may be done now than a moment ago, or something is to be told."""
        self._wake.set()

    def grant(self, opens: bool) -> None:
        """Whether this slice may open connections itself, from now on."""
        if opens != self._opens:
            self._opens = opens
            self._wake.set()

    def begin(self, mails: Mails) -> None:
        """Mail these, on the connections that are open and on those that others can spare."""
        self._mails = mails
        self._pool.join(self._batch, self)
        self._use_idle()
        self._wake.set()

    async def keep_open(self) -> None:
        """Open connections while they are needed, and time the relay's answers; until cancelled."""
        async with asyncio.TaskGroup() as opening:
            while True:
                now = self._loop.time()
                for session in list(self._intents):
                    session.check_time(now)
                self._wake.clear()
                self._use_idle()
                for _ in range(self._to_open(now)):
                    replaces = self._limits.begin_opening()
                    self._opening += 1
                    opening.create_task(self._open(replaces))
                try:
                    async with asyncio.timeout(self._pause(now)):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def close(self, intents: Iterable[Intent]) -> None:
        """Close the connections of these withdrawn intents at once."""
        for intent in intents:
            session = self._sessions.pop(intent, None)
            if session is not None:
                self._wanted.discard(intent)
                del self._intents[session]
                self._limits.forget(session)
                session.close()

    def close_withdrawn(self) -> None:
        """Close the connections whose intents are no longer open: at 354 there is no other way out."""
        self.close([intent for intent in self._sessions if not intent.open])

    def close_all(self) -> None:
        """Close every connection at once: what is in flight before its final dot delivers nothing."""
        for intent in list(self._sessions):
            self._attempt.closed(intent)
        self.close(list(self._sessions))
        for session in self._idle:
            self._limits.forget(session)
            session.close()
        self._idle.clear()
        self._changed()

    def leave(self) -> None:
        """The slice has ended: idle connections go to other slices of the batch, or are closed."""
        self._has_left = True
        self._pool.leave(self._batch, self)
        self.close_all()
        self._limits.leave(self)

    # What the commit loop says

    def allowed(self, intents: Iterable[Intent]) -> None:
        """These intents are acknowledged: their bodies may leave as soon as the relay wants them."""
        for intent in intents:
            if events.armed:
                events.happened("intent_acknowledged")
            if intent in self._wanted:
                self._send(intent, self._sessions[intent])

    # What the sessions say

    def body_wanted(self, session: Session) -> None:
        intent = self._intents[session]
        if intent.acknowledged:
            self._send(intent, session)
        else:
            self._wanted.add(intent)

    def concluded(self, session: Session, verdict: Verdict, words: bytes) -> None:
        intent = self._intents.pop(session)
        del self._sessions[intent]
        self._wanted.discard(intent)
        if words and verdict.follows is not Follows.SENT and len(self.words) < WORDS_KEPT:
            self.words[intent.row] = words
        now = self._loop.time()
        follows = self._attempt.concluded(intent, verdict)
        if follows in _ANSWERED:
            self._limits.answered(session, now, taken=follows is Follows.SENT)
            if follows is Follows.DEFERRED and self._attempt.throttle.are_the_recipients_own(verdict.cause):
                self._limits.pace.forget()
        elif follows is Follows.RELAY_FAULT:
            self.faults[verdict.cause.stage] += 1
            self._limits.refused(
                session,
                now,
                verdict.cause,
                f"the relay {self._relay} refuses to take mail: {reason(verdict.cause)}",
            )
        elif follows is Follows.THROTTLED and session.usable:
            self._limits.refused(
                session, now, verdict.cause, f"the relay {self._relay} is busy: {reason(verdict.cause)}"
            )
        if session.usable:
            self._next(session)
        else:
            self._dropped(session, verdict.cause)
        self._use_idle()
        self._changed()

    def gone(self, session: Session) -> None:
        if session in self._idle:
            self._idle.remove(session)
        self._dropped(session, NO_CAUSE)

    # What the pool says

    def adopt(self, session: Session) -> bool:
        full = self.held >= self._most
        if full or self._mails is None or not self._attempt.has_pending:
            return False
        session.conversation = self
        self._next(session)
        self._changed()
        return True

    def spare(self) -> list[Session]:
        if self._needs_connections:
            return []
        spare, self._idle = self._idle, []
        return spare

    # How it is done

    @property
    def _needs_connections(self) -> bool:
        """Whether others are not to have them: nor are they where too many were rejected, and others, who
        may not know it yet, would go on with them."""
        attempt = self._attempt
        return attempt.phase in _BEFORE_MAILING or attempt.has_pending or attempt.is_braked

    def _next(self, session: Session) -> None:
        """The session is idle: it takes the next recipient, goes to another slice, or waits."""
        if self._take(session):
            return
        if self._needs_connections or not self._pool.offer(self._batch, session, self):
            self._idle.append(session)
            self._wake.set()

    def _take(self, session: Session) -> bool:
        """Whether the session has taken the next recipient: envelope out, intent into the ledger."""
        if self._mails is None:
            return False
        if not self._attempt.has_lease(lease_now()):
            self.close_all()
            return False
        pace = self._limits.pace
        if not pace.is_free and not (self._attempt.has_pending and pace.begin(self._loop.time(), session)):
            return False
        while (intent := self._attempt.name()) is not None:
            try:
                envelope = self._mails.envelope(intent.row, session.eight_bit)
                session.begin(envelope)
            except FillError:
                self._attempt.concluded(intent, _NOT_FILLED)
            except ValueError:
                self._attempt.concluded(intent, _UNFIT_ADDRESS)
            else:
                self._intents[session] = intent
                self._sessions[intent] = session
                return True
        pace.left(session)
        return False

    def _send(self, intent: Intent, session: Session) -> None:
        self._wanted.discard(intent)
        if self._attempt.may_send_body(intent, lease_now()):
            session.send_body()
            if events.armed:
                events.happened("body_sent")
        elif self._attempt.phase is Phase.DEAD:
            self.close_all()

    def _use_idle(self) -> None:
        """Idle connections take recipients, as many as may be mailed now."""
        taken = False
        while self._idle and self._may_begin(self._loop.time()):
            session = self._idle.pop()
            if session.usable and not self._take(session):
                self._idle.append(session)
                break
            taken = True
        if taken:
            self._changed()

    def _may_begin(self, now: float) -> bool:
        if self._mails is None or not self._attempt.has_pending:
            return False
        at = self._limits.pace.next_at(now)
        return at is not None and at <= now

    def _dropped(self, session: Session, cause: Cause) -> None:
        """The connection is gone. One that never did anything useful counts like one that was refused."""
        what = f"the relay {self._relay} drops connections before it has taken a mail"
        if cause.code:
            what += f": {reason(cause)}"
        if self._limits.dropped(session, self._loop.time(), cause, what):
            self.faults[DROPPED] += 1
        self._wake.set()

    def _to_open(self, now: float) -> int:
        """How many connections to open now."""
        if not self._opens or self._attempt.phase not in _NOT_ENDING:
            return 0
        pace = self._limits.pace
        if not pace.is_free and (self._idle or self._opening):
            return 0
        ledger = self._attempt.ledger
        useful = min(self._most, ledger.count(PENDING, PENDING_MARKED, NAMED, NAMED_MARKED))
        if pace.is_halted:
            useful = min(useful, 1)
        at_once = OPENED_AT_ONCE if pace.is_free else 1
        room = min(self._limits.room(now), at_once - self._opening)
        return int(min(useful - self.held, room))

    async def _open(self, replaces: bool) -> None:
        limits = self._limits
        try:
            session = await open_session(self._relay, self)
        except UnusableRelayError as fault:
            self._opening -= 1
            self.faults[fault.cause.stage] += 1
            limits.not_opened(self._loop.time(), replaces=replaces, cause=fault.cause, what=str(fault))
            self._changed()
            return
        except BaseException:
            self._opening -= 1
            limits.not_opened_after_all()
            raise
        self._opening -= 1
        limits.opened(session, replaces=replaces)
        if self._has_left:  # it was open before this was cancelled
            limits.forget(session)
            session.close()
            return
        if not session.usable:
            self._dropped(session, NO_CAUSE)
        else:
            self._next(session)
        self._changed()
        self._wake.set()

    def _pause(self, now: float) -> float:
        """Until the next look at the clock."""
        moments = [now + LONGEST_PAUSE, self._limits.again_at]
        if self._idle and self._attempt.has_pending and (at := self._limits.pace.next_at(now)) is not None:
            moments.append(at)
        return max(min(moment for moment in moments if moment > now) - now, SHORTEST_PAUSE)

"""The connections of one slice: each takes recipient after recipient, as the attempt allows.

An idle connection takes the next recipient at once: its envelope goes to the relay while its intent goes to
Temporal. The body follows when both have answered and the lease is good, with no await between check and
write.

A connection that is refused or dropped costs only itself; a relay that admits fewer than asked for is used
with what it admits. While none can be had, or sender or login is refused, the slice waits with growing delays
and fails nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from activities import events
from activities.clock import lease_now
from activities.mails import Mails
from activities.pool import Pool
from batchmail.batch.attempt import Attempt, Intent, Phase
from batchmail.batch.ledger import NAMED, NAMED_MARKED, PENDING, PENDING_MARKED
from batchmail.batch.outcomes import Cause, Follows, Stage, Verdict
from batchmail.batch.progress import Waiting
from batchmail.batch.retry import growing_delays
from batchmail.errors import FillError, RelayFaultError
from batchmail.relay.connect import open_session
from batchmail.relay.reasons import reason
from batchmail.relay.session import Session
from batchmail.settings import Relay

OPENED_AT_ONCE = 50
WORDS_KEPT = 5_000

_UNFIT_ADDRESS = Verdict(Follows.REJECTED, Cause(Stage.RCPT, 553, "5.1.3"))
_NOT_FILLED = Verdict(Follows.REJECTED, Cause(Stage.FILL))
_BEFORE_MAILING = (Phase.OPENING, Phase.MARKING)
_NOT_ENDING = (*_BEFORE_MAILING, Phase.MAILING)
_ANSWERED = (Follows.SENT, Follows.REJECTED, Follows.DEFERRED)


class Trouble:
    """The relay is at fault: what is the matter, since when, and when to try again."""

    def __init__(self, what: str) -> None:
        self.waiting = Waiting(what=what, since=datetime.now(UTC))
        self._delays: Iterator[float] = growing_delays()
        self.again_at = 0.0

    def wait(self, what: str, now: float) -> None:
        """It has failed once more: longer than last time until the next try."""
        self.waiting = Waiting(what=what, since=self.waiting.since)
        self.again_at = now + next(self._delays)


class Lanes:
    """The connections of one attempt; `changed` is called whenever the attempt has something new to tell.

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
        self._unproven: set[Session] = set()
        self._opening = 0
        self._open_after = 0.0
        self._open_delays = growing_delays()
        self._refused = False
        self._trouble: Trouble | None = None
        self._wake = asyncio.Event()
        self.words: dict[int, bytes] = {}

    # The life of the lanes

    @property
    def waiting(self) -> Waiting | None:
        """What the slice waits for, if it does."""
        return self._trouble.waiting if self._trouble else None

    def grant(self, opens: bool) -> None:
        """Whether this slice may open connections itself, from now on."""
        if opens != self._opens:
            self._opens = opens
            self._wake.set()

    def begin(self, mails: Mails) -> None:
        """Mail these, on the connections that are open and on those that others can spare."""
        self._mails = mails
        self._pool.join(self._batch, self)
        self._use_idle(len(self._idle))
        self._wake.set()

    async def keep_open(self) -> None:
        """Open connections while they are needed, and time the relay's answers; until cancelled."""
        async with asyncio.TaskGroup() as opening:
            while True:
                now = self._loop.time()
                for session in list(self._intents):
                    session.check_time(now)
                if self._trouble and now >= self._trouble.again_at and not self._intents:
                    self._use_idle(1)
                if now >= self._open_after:
                    for _ in range(self._to_open()):
                        self._opening += 1
                        opening.create_task(self._open())
                self._wake.clear()
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
            session.close()
        self._idle.clear()
        self._changed()

    def leave(self) -> None:
        """The slice has ended: idle connections go to other slices of the batch, or are closed."""
        self._pool.leave(self._batch, self)
        self.close_all()

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
        follows = self._attempt.concluded(intent, verdict)
        if follows in _ANSWERED:
            if session in self._unproven:
                self._unproven.discard(session)
                self._open_delays = growing_delays()
            if self._trouble:
                self._trouble = None
                self._use_idle(len(self._idle))
        elif follows is Follows.RELAY_FAULT:
            self._unproven.discard(session)
            self._in_trouble(f"the relay {self._relay} refuses to take mail: {reason(verdict.cause)}")
        if session.usable:
            self._next(session)
        else:
            self._dropped(session)
        if self._idle and not self._trouble and self._attempt.has_pending:
            self._use_idle(len(self._idle))
        self._changed()

    def gone(self, session: Session) -> None:
        if session in self._idle:
            self._idle.remove(session)
        self._dropped(session)

    # What the pool says

    def adopt(self, session: Session) -> bool:
        have = len(self._intents) + len(self._idle) + self._opening
        if have >= self._most or self._mails is None or not self._attempt.has_pending:
            return False
        session.conversation = self
        self._next(session)
        self._changed()
        return True

    def spare(self) -> list[Session]:
        if self._attempt.phase in _BEFORE_MAILING or self._attempt.has_pending:
            return []
        spare, self._idle = self._idle, []
        return spare

    # How it is done

    def _next(self, session: Session) -> None:
        """The session is idle: it takes the next recipient, goes to another slice, or waits."""
        if not self._trouble and self._take(session):
            return
        needed = self._attempt.phase in _BEFORE_MAILING or self._attempt.has_pending
        if needed or not self._pool.offer(self._batch, session, self):
            self._idle.append(session)

    def _take(self, session: Session) -> bool:
        """Whether the session has taken the next recipient: envelope out, intent into the ledger."""
        if self._mails is None:
            return False
        if not self._attempt.has_lease(lease_now()):
            self.close_all()
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
        return False

    def _send(self, intent: Intent, session: Session) -> None:
        self._wanted.discard(intent)
        if self._attempt.may_send_body(intent, lease_now()):
            session.send_body()
            if events.armed:
                events.happened("body_sent")
        elif self._attempt.phase is Phase.DEAD:
            self.close_all()

    def _use_idle(self, most: int) -> None:
        for _ in range(min(most, len(self._idle))):
            session = self._idle.pop()
            if not session.usable:
                continue
            if not self._take(session):
                self._next(session)
        self._changed()

    def _dropped(self, session: Session) -> None:
        """The connection is gone. One that never did anything useful counts like one that was refused."""
        if session in self._unproven:
            self._unproven.discard(session)
            self._not_admitted(f"the relay {self._relay} drops connections before it has taken a mail")
        self._wake.set()

    def _not_admitted(self, what: str) -> None:
        now = self._loop.time()
        self._refused = True
        if self._open_after <= now:
            self._open_after = now + next(self._open_delays)
        if not (self._intents or self._idle or self._opening) and self._attempt.has_pending:
            self._in_trouble(what)

    def _in_trouble(self, what: str) -> None:
        now = self._loop.time()
        if self._trouble is None:
            self._trouble = Trouble(what)
        elif now < self._trouble.again_at:
            return
        self._trouble.wait(what, now)
        self._changed()

    def _to_open(self) -> int:
        if not self._opens or self._attempt.phase not in _NOT_ENDING:
            return 0
        have = len(self._intents) + len(self._idle) + self._opening
        ledger = self._attempt.ledger
        useful = min(self._most, ledger.count(PENDING, PENDING_MARKED, NAMED, NAMED_MARKED))
        if self._trouble:
            useful = min(useful, 1)
        # After a refusal one probe finds out as well as all of them.
        return min(useful - have, (1 if self._refused else OPENED_AT_ONCE) - self._opening)

    async def _open(self) -> None:
        try:
            session = await open_session(self._relay, self)
        except RelayFaultError as fault:
            self._opening -= 1
            self._not_admitted(str(fault))
            self._wake.set()
            return
        self._opening -= 1
        self._unproven.add(session)
        self._refused = False
        if not session.usable:
            self._dropped(session)
        elif not self._attempt.has_pending or not self._take(session):
            self._next(session)
        self._changed()
        self._wake.set()

    def _pause(self, now: float) -> float:
        """Until the next look at the clock."""
        pause = 1.0
        for moment in (self._open_after, self._trouble.again_at if self._trouble else 0.0):
            if moment > now:
                pause = min(pause, moment - now)
        return max(pause, 0.001)

"""Tell a relay's rate limit from refusals that are the recipients' own, such as greylisting.

Both may read `450 4.7.1`, at RCPT or later. What tells them apart is a second try soon after: a rate limit
refuses whoever comes at the wrong moment, greylisting refuses a recipient whenever it is tried too soon. So
who is refused is tried again, and what comes of it is evidence, kept for each kind of refusal:

- taken within 100 seconds (greylisting lasts longer): the refusal was the relay's;
- refused again and again, although others were named and taken in between: it was the recipient's own. Those
  who were on their way when it was refused do not count: what a relay counts at RCPT it takes after that.

As long as the evidence does not say that they are the recipients' own, such refusals are the relay's: it is
mailed more slowly, and nobody is deferred, so that nobody can expire because a relay limits the rate. It
takes three recipients to show the contrary; from then on such refusals defer, as any other does.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from batchmail.batch.outcomes import Cause, Stage

SOON = 100.0
"""Seconds from the first refusal."""

CERTAIN = 3
"""So much more evidence for one than for the other settles it."""

STUBBORN = 3
"""Who is refused so often again, others taken each time, is refused for himself; at a slow relay, which is
mailed hardly faster than it allows, anybody is now and then refused twice."""

PATIENCE = 8
"""Who is refused so often, few others refused and nobody taken, is deferred: nothing tells whose it is."""

CLOSINGS = 4
"""Who meets a 421 so often, others taken in between, is deferred. It ends the connection, whoever is on it:
it is no evidence."""

MANY = 20
"""So many different recipients refused and nobody taken in between: the relay takes no mail at present."""

_SUBJECTS = ("7.", "3.1", "3.2", "4.5")
"""Policy (rate limits and greylisting), system full, system taking no mail, congestion (RFC 3463)."""

_CODES = {421, 450, 451, 452, 454}
"""What relays without enhanced codes say of a rate exceeded, and 454 with any (`454 Throttling failure`)."""


def may_be_the_rate(cause: Cause) -> bool:
    """Whether a refusal may mean that mail comes too fast."""
    stage, code, enhanced = cause
    if stage not in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY, Stage.DOT) or not 400 <= code < 500:
        return False
    return enhanced[2:].startswith(_SUBJECTS) if enhanced and code != 454 else code in _CODES


class _Refused(NamedTuple):
    """`named`: how many mails had begun by the last refusal. `alone`: how often others were taken between."""

    cause: Cause
    times: int
    since: float
    named: int
    alone: int


class Throttle:
    """The evidence of one attempt; rows and times as the attempt's."""

    def __init__(self) -> None:
        self._named = 0
        self._numbers: dict[int, int] = {}
        self._last_taken = 0
        self._refused: dict[int, _Refused] = {}
        self._in_vain: set[int] = set()
        self._evidence: Counter[Cause] = Counter()

    def named(self, row: int) -> None:
        """A mail for this row begins."""
        self._named += 1
        self._numbers[row] = self._named

    def taken(self, row: int, now: float) -> None:
        """The relay has taken the mail for this row."""
        self._last_taken = max(self._last_taken, self._numbers.pop(row, 0))
        self._in_vain.clear()
        if self._refused and (before := self._refused.pop(row, None)) and now - before.since < SOON:
            self._learn(before.cause, 1)

    def is_the_relays(self, row: int, cause: Cause, now: float) -> bool:
        """Whether this refusal is the relay's, so that the row is to be tried again soon."""
        if not may_be_the_rate(cause) or self.are_the_recipients_own(cause):
            return False
        before = self._refused.get(row)
        if before is None or before.cause != cause:
            before = _Refused(cause, 0, now, self._named, 0)
        times, alone = before.times + 1, before.alone + (self._last_taken > before.named)
        self._refused[row] = _Refused(cause, times, before.since, self._named, alone)
        self._in_vain.add(row)
        if cause.code == 421 and alone:
            return times < CLOSINGS
        if cause.code != 421 and alone > before.alone and alone >= STUBBORN:
            self._learn(cause, -1)
            if self._evidence[cause] <= 0:
                return False
        return times < PATIENCE or len(self._in_vain) >= MANY

    def are_the_recipients_own(self, cause: Cause) -> bool:
        """Whether it has turned out that such refusals are no matter of the rate."""
        return self._evidence[cause] <= -CERTAIN

    def _learn(self, cause: Cause, says: int) -> None:
        self._evidence[cause] = max(-CERTAIN, min(CERTAIN, self._evidence[cause] + says))

"""How many connections a relay admits: found by asking, no oftener than it takes to find out.

All that are wanted are asked for at first. A refusal says that the relay admits as many as are open by then:
the *window*. One more than that is tried after growing delays; once it has taken a mail, two more are tried,
then four, until the next refusal. So a relay that admits few is seldom asked for more, and one that admits
more again is soon used with them.

Connections within the window are replaced at once when the relay closes them, as many relays do after some
mails. A replacement that is refused proves nothing yet, since relays count a closed connection for a moment
longer: it is tried again alone, a few times within a third of a second, before the window shrinks.

Pure: the time is given, in seconds on any steady clock; connections are counted by the caller.
"""

from __future__ import annotations

from math import inf

from batchmail.batch.retry import growing_delays

SOON, TRIES = 0.02, 4
"""Seconds before a refused replacement is tried again, doubling; and how often, before it is believed."""


class Admission:
    """What is known of the relay's limit; `count` is, in all calls, connections open or being opened."""

    def __init__(self) -> None:
        self._window = inf
        self._used = 0
        self._step = 1
        self._delays = growing_delays()
        self._probe_at = 0.0
        self._refused_again = 0
        self._replace_at = 0.0

    @property
    def again_at(self) -> float:
        """When `room` may say more than it does now."""
        return self._replace_at if self._refused_again else self._probe_at

    def room(self, now: float, count: int, untried: int) -> float:
        """How many more may be opened now; infinite as long as nothing was refused.

        `untried`: those of them that have not taken a mail yet.
        """
        if self._refused_again:
            return 0 if untried or now < self._replace_at else 1
        beyond = self._step if now >= self._probe_at else 0
        return max(0.0, max(self._window, self._used) + beyond - count)

    def replaces(self, count: int) -> bool:
        """Whether one more would stand where one has been admitted before, and has taken a mail."""
        return count < self._used

    def used(self, count: int) -> None:
        """A new connection has taken its first mail."""
        self._refused_again = 0
        self._used = max(self._used, count)
        if count > self._window:
            self._window = count
            self._step *= 2
            self._begin_anew()

    def refused(self, now: float, count: int, *, replacement: bool) -> bool:
        """A connection was refused, or closed before it had taken a mail; `count` is without it.

        Returns whether that is believed: for a replacement only after some tries.
        """
        if replacement and count < self._used and self._refused_again < TRIES:
            if now >= self._replace_at:
                self._replace_at = now + SOON * 2**self._refused_again
                self._refused_again += 1
            return False
        self._refused_again = 0
        self._step = 1
        if count < self._window:
            self._window = count
            self._used = min(self._used, count)
            self._begin_anew()
        if now >= self._probe_at:
            self._probe_at = now + next(self._delays)
        return True

    def _begin_anew(self) -> None:
        self._delays, self._probe_at = growing_delays(), 0.0

"""When the next mail may begin, with a relay that limits the rate or takes no mail at present.

    free ── refused ──▶ halted ── the one mail tried after a growing delay is refused ──▶ halted, longer
      ▲                   └────── it is answered ──▶ free again, or paced after a refusal for the rate
      └──────────────────── 100 seconds without a refusal ────────────────────────────────┘

How much a relay takes is measured: what it took from the end of one halt to the end of the next, over that
time. At that pace the mails go on, hardly faster for some seconds, then ever faster until the next refusal
(the curve of TCP CUBIC, RFC 9438, by time alone). So a limit costs few refusals, is nearly used up, and is
forgotten soon after it has been lifted. A refusal now and then, among many mails taken, halts nothing.

Pure: the time is given, in seconds on any steady clock.
"""

from __future__ import annotations

from batchmail.batch.retry import growing_delays

STEADY = 10.0
"""Seconds after which a pace has grown by a tenth; from then on it grows with the cube of the time."""

FORGOTTEN = 100.0
"""Seconds without a refusal after which there is no limit any more."""

LITTLE_LESS, MUCH_LESS = 0.9, 0.7
"""A pace that was refused is lowered by no more: by a tenth where about as much was taken, since the halt and
the seconds before it count in what is measured; else by more, and soon again if it is still too fast."""

OVERLOOKED, OVERLOOKED_AT_ONCE = 0.03, 2.0
"""So many refusals for the rate a mail taken, and at once, halt nothing: a relay that refuses one mail in a
hundred, whenever it comes, has no rate, and would be mailed ever more slowly."""

LONGEST_HALT = 120.0
"""Seconds; a halt that lasted longer was no rate: what was taken before says nothing about the time after."""

_CATCH_UP, _SHORT = 0.05, 0.01
"""Mails that follow each other in less than 0.01 seconds may go at once for as many as 0.05 seconds hold:
nobody wakes so often. Others keep their distance, and the pace grows by what they are late."""


class Pace:
    """The pace of one worker and batch. `who` is whoever begins a mail: a connection."""

    def __init__(self) -> None:
        self._limit = 0.0
        self._since = 0.0
        self._next = 0.0
        self._delays = growing_delays()
        self._halted_at: float | None = None
        self._again_at = 0.0
        self._for_the_rate = False
        self._trying: object | None = None
        self._measured_from: float | None = None
        self._taken = 0
        self._ever_taken = False
        self._to_overlook = 0.0
        self.refusals = 0
        """In a row; none once a mail was answered."""

    @property
    def is_free(self) -> bool:
        """Whether mails may begin without asking."""
        return not self._limit and self._halted_at is None

    @property
    def is_halted(self) -> bool:
        """Whether no more than one mail may be under way."""
        return self._halted_at is not None

    def is_trying(self, who: object) -> bool:
        """Whether the one mail that is tried in a halt is that of `who`."""
        return self._trying is who

    def next_at(self, now: float) -> float | None:
        """From when on a mail may begin; None while it is for the one being tried to say."""
        if self._halted_at is None:
            return self._next if self._limit else now
        return None if self._trying is not None else self._again_at

    def begin(self, now: float, who: object) -> bool:
        """Whether a mail may begin now; then it is taken as begun."""
        at = self.next_at(now)
        if at is None or now < at:
            return False
        if self._halted_at is not None:
            self._trying = who
        elif self._limit:
            if now - self._since > FORGOTTEN:
                self._limit = 0.0
            else:
                distance = 1 / self._faster(now)
                due = max(self._next, now - _CATCH_UP) if distance < _SHORT else now
                self._next = due + distance
        return True

    def answered(self, now: float, who: object, *, taken: bool) -> bool:
        """The relay has dealt with a mail of `who`, and took it or not; whether that ended a halt."""
        if self._measured_from is None:
            self._measured_from = now
        self._taken += taken
        if taken:
            self._to_overlook = min(OVERLOOKED_AT_ONCE, self._to_overlook + OVERLOOKED)
        if self._trying is not who or self._halted_at is None:
            self._ever_taken |= taken
            return False
        self._go_on(now, now - self._halted_at)
        self._ever_taken |= taken
        return True

    def overlooks(self) -> bool:
        """Whether a mail's refusal for the rate is one of the few that need not be told to `refused`."""
        if self.is_halted or self._to_overlook < 1:
            return False
        self._to_overlook -= 1
        return True

    def refused(self, now: float, who: object, *, for_the_rate: bool) -> None:
        """The relay refuses to take mail, whoever it is for."""
        if self._halted_at is None:
            self._halted_at, self._delays, self.refusals = now, growing_delays(), 0
        elif self._trying is not who:
            return  # on its way since before the halt
        self._trying = None
        self._for_the_rate = for_the_rate
        self._again_at = now + next(self._delays)
        self.refusals += 1

    def left(self, who: object) -> None:
        """The mail of `who` has ended without an answer."""
        if self._trying is who:
            self._trying = None

    def forget(self) -> None:
        """There is no limit."""
        self._limit = 0.0

    def _go_on(self, now: float, halted: float) -> None:
        took = 0.0 if self._measured_from is None else now - self._measured_from
        before = self._faster(now - halted) if self._limit else 0.0
        self._halted_at, self._trying, self.refusals = None, None, 0
        self._limit = 0.0
        if self._for_the_rate and self._ever_taken and halted <= LONGEST_HALT and took > 0:
            measured = self._taken / took
            self._limit = max(measured, before * (LITTLE_LESS if measured > before / 2 else MUCH_LESS))
        self._since = self._measured_from = now
        self._next = now + (1 / self._limit if self._limit else 0.0)
        self._taken = 0

    def _faster(self, now: float) -> float:
        """The limit as it has grown by now, in mails a second."""
        return self._limit * (1 + ((now - self._since) / STEADY) ** 3 / 10)

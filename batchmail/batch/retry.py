"""When to try again, and when to give up: the pure arithmetic of growing delays."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, cycle

from pydantic import BaseModel, ConfigDict

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def growing_delays(first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> Iterator[float]:
    """Seconds to wait before each further try of something out of reach: doubling, then steady."""
    delay = first
    while True:
        yield delay
        delay = min(delay * 2, longest)


class Retries(BaseModel):
    """How deferred recipients are tried again, as Postfix does it: after growing delays, until given up.

    `delays`: before the first, second, … further try. Without `give_up_after` the try after the last delay is
    the last one. With it the last delay repeats, and the last try is the first one that begins when
    `give_up_after` has passed since the first deferral: a delay that would end later is cut short to end
    then. So nobody is given up before, and hardly later unless the batch was held up meanwhile.

    `spread` (the batch's id) moves the due times of this batch by up to a tenth of the delay, so that batches
    which a relay defers at one moment do not all come back at one moment. "" leaves them on the full tenths.
    """

    model_config = ConfigDict(frozen=True)

    delays: tuple[timedelta, ...]
    give_up_after: timedelta | None = None
    spread: str = ""

    def due(self, tries: int, now: datetime, since: datetime) -> datetime:
        """When those deferred now are tried again, after `tries` delays; `since`: their first deferral."""
        delay = self.delays[min(tries, len(self.delays) - 1)] if self.delays else timedelta(0)
        if self.give_up_after is not None and now < since + self.give_up_after:
            delay = min(delay, since + self.give_up_after - now)
        return due_time(now, delay, f"{self.spread}/{tries}" if self.spread else "")

    def is_last(self, tries: int, begins: datetime, since: datetime) -> bool:
        """Whether the try that begins then, after `tries` delays, is the last."""
        if self.give_up_after is None:
            return tries >= len(self.delays)
        return begins >= since + self.give_up_after

    def for_at_most(self, time: timedelta) -> Retries:
        """The same, but given up after `time` at the latest: a delay that would end later is cut short."""
        without_end = cycle(self.delays[-1:]) if self.give_up_after is not None else ()
        left, delays = min(time, self.give_up_after or time), list[timedelta]()
        for delay in chain(self.delays, without_end):
            if left <= timedelta(0):
                break
            delays.append(min(delay, left))
            left -= delay
        return self.model_copy(update={"delays": tuple(delays), "give_up_after": None})


def due_time(now: datetime, delay: timedelta, spread: str = "") -> datetime:
    """When deferred recipients are due, `delay` from now or up to a tenth of it later.

    Due times stand on a grid of tenths of the delay, so that slices deferred at about the same time share a
    timer. `spread` (any text; "" for none) shifts the grid.
    """
    grain = max(delay / 10, timedelta(milliseconds=1))
    origin = _EPOCH + grain * (zlib.crc32(spread.encode()) / 2**32)
    return origin - (origin - now - delay) // grain * grain

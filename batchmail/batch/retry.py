"""When to try again: the pure arithmetic of growing delays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0


def growing_delays(first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> Iterator[float]:
    """Seconds to wait before each further try of something out of reach: doubling, then steady."""
    delay = first
    while True:
        yield delay
        delay = min(delay * 2, longest)


def due_time(now: datetime, delay: timedelta) -> datetime:
    """When deferred recipients are due, `delay` from now or a little later.

    Rounded up to a tenth of the delay, so that slices deferred at about the same time share one timer.
    """
    grain = max(delay / 10, timedelta(milliseconds=1))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    steps = -(-(now + delay - epoch) // grain)
    return epoch + steps * grain

"""The clock of leases: seconds that also pass while the machine sleeps or the process is stopped."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: CLOCK_MONOTONIC counts sleep


def lease_now() -> float:
    """Seconds since some fixed moment before this machine last started."""
    return time.clock_gettime(_CLOCK)

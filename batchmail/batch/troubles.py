"""When the admins are told what a batch waits for: pure arithmetic.

Each trouble (what is waited for, from when somebody waits for it until nobody does) is told once, and no two
within an hour.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from batchmail.batch.progress import Waiting

BETWEEN_TWO = timedelta(hours=1)


def tell_at(
    waiting: Iterable[Waiting], told: Collection[str], last_told: datetime | None, after: timedelta
) -> datetime | None:
    """When something is to be told next, as it looks now: a wait that nobody was `told` of, `after` it began.

    None where they know everything.
    """
    untold = [one.since for one in waiting if one.what not in told]
    if not untold:
        return None
    due = min(untold) + after
    return due if last_told is None else max(due, last_told + BETWEEN_TWO)


def each_once(waiting: Iterable[Waiting]) -> tuple[Waiting, ...]:
    """What is waited for, each thing once, since when the first waited for it; the longest wait first."""
    found: dict[str, Waiting] = {}
    for one in sorted(waiting, key=lambda one: one.since):
        found.setdefault(one.what, one)
    return tuple(found.values())

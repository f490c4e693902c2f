"""The short activities' sign of life: their worker's death is noticed within a heartbeat time-out.

A task that the server hands to a worker at the very moment that worker leaves is started and run by nobody:
without heartbeats it would wait for its start-to-close time-out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity

from activities import events

EVERY = timedelta(seconds=2)
"""Seldom enough to cost nothing, often enough for the default time-out of ten seconds."""


class Beat:
    """What the heartbeats of one activity carry: how many rows it has come past."""

    rows = 0

    def past(self, rows: int) -> None:
        """It has come past so many rows."""
        self.rows = rows


@asynccontextmanager
async def beating() -> AsyncIterator[Beat]:
    """Heartbeat at once and then, while the event loop runs, every EVERY, or four times a time-out."""
    beat = Beat()
    if events.armed:
        events.happened(activity.info().activity_type)
    task = asyncio.create_task(_keep(beat))
    try:
        yield beat
    finally:
        task.cancel()


async def _keep(beat: Beat) -> None:
    pause = min(EVERY, (activity.info().heartbeat_timeout or EVERY) / 4)
    while True:
        activity.heartbeat(beat.rows)
        await asyncio.sleep(pause.total_seconds())

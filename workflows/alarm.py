"""A timer of the workflow's own. Set to the same time again, it runs on: no event, and no billed action.

It is a task that sleeps, and nothing else. `wait_condition` with a time-out rests on `asyncio.wait_for`,
which takes other steps in Python 3.12 than in 3.11: what one has begun may not replay in the other.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from temporalio import workflow


class Alarm:
    """Rings once at the time it is set to. `summary`: what Temporal's Web UI shows beside the timer."""

    def __init__(self, summary: str) -> None:
        self._summary = summary
        self._at: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def rings(self) -> bool:
        """Whether its time has come, since it was set."""
        return self._task is not None and self._task.done()

    def set(self, at: datetime | None) -> None:
        """Ring at this time, and not at the one before; None: do not ring."""
        if at == self._at and not self.rings:
            return
        if self._task is not None:
            self._task.cancel()
        self._at = at
        self._task = asyncio.create_task(self._sleep(at)) if at is not None else None

    async def _sleep(self, until: datetime) -> None:
        await workflow.sleep(max(0.0, (until - workflow.now()).total_seconds()), summary=self._summary)

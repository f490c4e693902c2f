"""What a batch waits for outside, and for how long: after a while the admins are told.

When that is, batchmail.batch.troubles says. The timer is set when something is first waited for and is left
to run when it no longer is, so that a relay that comes and goes costs few events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from temporalio import workflow

from batchmail.batch.progress import Waiting
from batchmail.batch.troubles import each_once, tell_at

TROUBLES = "troubles"
"""Batches that waited before tell nobody of it, and go on so."""


class Troubles:
    """Calls `tell` when something has been waited for as long as `tell_after`."""

    def __init__(self, tell_after: timedelta, tell: Callable[[tuple[Waiting, ...]], None]) -> None:
        self._tell_after = tell_after
        self._tell = tell
        self._waiting: tuple[Waiting, ...] = ()
        self.told: set[str] = set()
        self.last_told: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def look(self, waiting: Sequence[Waiting]) -> None:
        """This is what is waited for now."""
        self._waiting = tuple(waiting)
        self.told &= {one.what for one in waiting}
        idle = self._task is None or self._task.done()
        if self._due is not None and idle and not self._ended and workflow.patched(TROUBLES):
            self._task = asyncio.create_task(self._tell_in_time())

    def end(self) -> None:
        """Nothing is told any more."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()

    @property
    def _due(self) -> datetime | None:
        """When something is to be told next, as it looks now."""
        return tell_at(self._waiting, self.told, self.last_told, self._tell_after)

    async def _tell_in_time(self) -> None:
        while (due := self._due) is not None:
            if (left := due - workflow.now()) > timedelta(0):
                await workflow.sleep(left, summary="tell the admins what is waited for")
            else:
                self.told |= {one.what for one in self._waiting}
                self.last_told = workflow.now()
                self._tell(each_once(self._waiting))

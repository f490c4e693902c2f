"""Slices in flight: scheduled few at once, all awaited, what is handed back scheduled again.

A slice is a chain of parts, never two at a time: what a part hands back goes on at once with the ledger it
handed back; when only deferred recipients are left, the chain waits for their next try. Slices whose delays
end at about the same time share a timer.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import workflow

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Control, Waiting
from batchmail.batch.retry import due_time
from batchmail.batch.slices import FanOut, range_name
from batchmail.batch.tasks import Part, PartResult


@dataclass(eq=False)
class Chain:
    """One slice's parts so far: `part` is the present or next one, `tries` the delays it has waited. Its
    attempts ask and tell the batch under the name `key`."""

    part: Part
    key: str
    tries: int = 0
    pending: int = 0
    deferred: int = 0
    due: datetime | None = None


@dataclass
class Slices:
    """The slices of one batch, carried through to the last recipient.

    `send` runs one part. `changed` is called after every change that progress shows. `key` is the chains'
    name, their row range unless given.
    """

    send: Callable[[Part], Awaitable[PartResult]]
    delays: tuple[timedelta, ...]
    plan: FanOut
    changed: Callable[[], None]
    key: str | None = None
    files: list[str] = field(default_factory=list)
    settled: Counter[Outcome] = field(default_factory=Counter)
    resent: int = 0
    cancelled: bool = False
    waiting: dict[str, Waiting] = field(default_factory=dict)
    _ready: deque[Chain] = field(default_factory=deque)
    _running: list[Chain] = field(default_factory=list)
    _deferred: list[Chain] = field(default_factory=list)

    async def run(self, parts: Iterable[Part]) -> None:
        """Until every recipient is settled."""
        for part in parts:
            self._ready.append(Chain(part, self.key or range_name(part.first, part.last)))
        tasks: list[asyncio.Task[None]] = []
        try:
            while self._ready or self._deferred or tasks:
                self._take_due()
                while self._ready and len(self._running) < self.plan.at_once + self.plan.ahead:
                    chain = self._ready.popleft()
                    self._running.append(chain)
                    tasks.append(asyncio.create_task(self._one(chain)))
                self.changed()
                tasks = await self._something(tasks)
        finally:
            for task in tasks:
                task.cancel()

    def cancel(self) -> None:
        """Nobody new is mailed: every slice runs once more, to settle those who are left."""
        self.cancelled = True

    def control(self, slice_range: str) -> Control:
        """What the batch wants of this slice."""
        opening = [chain.key for chain in self._running[: self.plan.at_once]]
        return Control(opens_connections=slice_range in opening, cancelled=self.cancelled)

    def note(self, key: str, what: Waiting | None) -> None:
        """The slice waits for something, or no longer does. Since when it does is kept from part to part."""
        if what is None or not any(chain.key == key for chain in self._running):
            self.waiting.pop(key, None)
        else:
            before = self.waiting.get(key)
            same = before is not None and before.what == what.what
            self.waiting[key] = before if before is not None and same else what

    @property
    def running(self) -> int:
        """Slices in flight."""
        return len(self._running)

    @property
    def left(self) -> int:
        """Slices that are not in flight and not ended."""
        return len(self._ready) + len(self._deferred)

    @property
    def deferred(self) -> int:
        """Recipients waiting for their next try."""
        return sum(chain.deferred for chain in self._deferred)

    @property
    def next_try(self) -> datetime | None:
        """When the first of them are tried again."""
        return min((chain.due for chain in self._deferred if chain.due), default=None)

    # How it is done

    async def _one(self, chain: Chain) -> None:
        """One part of a chain, and what becomes of what it left."""
        first = self._running.index(chain) < self.plan.at_once
        part = chain.part.model_copy(
            update={"opens_connections": first, "last_try": chain.tries >= len(self.delays)}
        )
        result = await self.send(part)
        self._running.remove(chain)
        self.waiting.pop(chain.key, None)
        if result.file is not None:
            self.files.append(result.file)
        self.settled.update(result.counts)
        self.resent += result.resent
        if result.rest is None:
            return
        chain.part = part.model_copy(update={"ledger": result.rest, "due": False})
        chain.deferred = result.deferred
        if result.pending:
            self._ready.appendleft(chain)
        else:
            delay = self.delays[min(chain.tries, len(self.delays) - 1)] if self.delays else timedelta(0)
            chain.due = due_time(workflow.now(), delay)
            chain.tries += 1
            self._deferred.append(chain)

    def _take_due(self) -> None:
        now = workflow.now()
        due = [c for c in self._deferred if self.cancelled or c.due is None or c.due <= now]
        for chain in due:
            self._deferred.remove(chain)
            chain.part = chain.part.model_copy(update={"due": True})
            chain.due, chain.deferred = None, 0
            self._ready.append(chain)

    async def _something(self, tasks: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        """Wait until a part has ended, deferred recipients are due, or the batch is cancelled."""
        was_cancelled = self.cancelled

        def happened() -> bool:
            return any(task.done() for task in tasks) or self.cancelled != was_cancelled

        due = self.next_try
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                happened, timeout=max(due - workflow.now(), timedelta(0)) if due else None
            )
        for task in tasks:
            if task.done():
                task.result()
        return [task for task in tasks if not task.done()]

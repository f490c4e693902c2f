"""Slices in flight: scheduled few at once, all awaited, what is handed back scheduled again.

What becomes of a slice from part to part is batchmail.batch.chains'; here parts run, and delays are waited
for. Slices whose delays end at about the same time share a timer.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import workflow

from batchmail.batch.chains import Chain, after, next_part, woken
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Control, Waiting
from batchmail.batch.retry import Retries
from batchmail.batch.slices import FanOut
from batchmail.batch.tasks import Part, PartResult
from workflows.alarm import Alarm

NEXT_TRY = "next try of deferred recipients"

OWN_ALARM = "own-alarm"
"""Batches begun before waited by `wait_condition` with a time-out, and go on so."""

SPREAD = "spread"
"""Batches whose recipients were deferred before have due times on full tenths of the delay, and keep them."""


@dataclass
class Slices:
    """The slices of one batch, carried through to the last recipient.

    `whole`: what all their parts have in common. `send` runs one part. `changed` is called after every change
    that progress shows, `look` before more is scheduled: it may pause. `key`: under what name the slices'
    attempts ask and tell the batch; their row range unless given.
    """

    whole: Part
    send: Callable[[Part], Awaitable[PartResult]]
    retries: Retries
    plan: FanOut
    changed: Callable[[], None]
    key: str | None = None
    look: Callable[[], None] = lambda: None
    files: list[str] = field(default_factory=list)
    settled: Counter[Outcome] = field(default_factory=Counter)
    resent: int = 0
    cancelled: bool = False
    paused: bool = False
    dropped: bool = False
    spreads: bool = False
    """Due times are known to be spread: the change is marked in the batch's history."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    _ready: deque[Chain] = field(default_factory=deque)
    _running: list[Chain] = field(default_factory=list)
    _deferred: list[Chain] = field(default_factory=list)
    _alarm: Alarm = field(default_factory=lambda: Alarm(NEXT_TRY))

    async def run(self, chains: Iterable[Chain]) -> None:
        """Until every recipient is settled, or all are given up by `drop`."""
        for chain in chains:
            (self._ready if chain.due is None else self._deferred).append(chain)
        tasks: list[asyncio.Task[None]] = []
        try:
            while tasks or (self.left and not self.dropped):
                self.look()
                if self.dropped and not tasks:
                    break
                if not self._holds:
                    self._take_due()
                while self._may_run_more:
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

    @property
    def waits(self) -> list[Waiting]:
        """What its running slices wait for."""
        running = [self._key(chain) for chain in self._running]
        return [one for key, one in self.waiting.items() if key in running]

    def pause(self) -> None:
        """Every slice hands back and waits, also for a next try that is due; a cancel goes before."""
        self.paused = True

    def resume(self) -> None:
        """Go on."""
        self.paused = False

    def drop(self) -> None:
        """Every slice hands back, and `run` ends: whoever is left stays unsettled."""
        self.dropped = True

    def control(self, slice_range: str) -> Control:
        """What the batch wants of this slice."""
        opening = [self._key(chain) for chain in self._running[: self.plan.at_once]]
        return Control(
            opens_connections=slice_range in opening,
            cancelled=self.cancelled,
            paused=self._holds,
            waits=slice_range in self.waiting,
        )

    def note(self, key: str, what: Waiting | None) -> None:
        """The slice waits for something, or no longer does. Since when it does is kept, whatever it waits for
        next, from attempt to attempt and from part to part: it has mailed nobody since."""
        if what is None or not any(self._key(chain) == key for chain in self._running):
            self.waiting.pop(key, None)
        else:
            since = self.waiting[key].since if key in self.waiting else what.since
            self.waiting[key] = Waiting(what=what.what, since=since)

    def take_left(self) -> tuple[Chain, ...]:
        """After a drop: those who are left, to be run here or elsewhere."""
        left = (*self._ready, *self._deferred)
        self._ready.clear()
        self._deferred.clear()
        self.dropped = False
        return left

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

    @property
    def _holds(self) -> bool:
        return self.dropped or (self.paused and not self.cancelled)

    @property
    def _told(self) -> tuple[bool, ...]:
        return self.cancelled, self.paused, self.dropped

    @property
    def _may_run_more(self) -> bool:
        room = len(self._running) < self.plan.at_once + self.plan.ahead
        return bool(self._ready) and room and not self._holds

    async def _one(self, chain: Chain) -> None:
        """One part of a chain, and what becomes of what it left."""
        opens = self._running.index(chain) < self.plan.at_once
        part = next_part(chain, self.whole, opens_connections=opens)
        key = self._key(chain)
        result = await self.send(part.model_copy(update={"waited": key in self.waiting}))
        self._running.remove(chain)
        if not result.waits or (self._holds and not self.dropped):
            self.waiting.pop(key, None)
        if result.file is not None:
            self.files.append(result.file)
        self.settled.update(result.counts)
        self.resent += result.resent
        left = after(chain, result, workflow.now(), self._retries) if result.rest else None
        if left is None:
            return
        if left.due is None:
            self._ready.appendleft(left)
        else:
            self._deferred.append(left)

    def _take_due(self) -> None:
        now = workflow.now()
        for chain in [c for c in self._deferred if self.cancelled or c.due is None or c.due <= now]:
            self._deferred.remove(chain)
            self._ready.append(woken(chain, now, self._retries))

    @property
    def _retries(self) -> Retries:
        self.spreads = workflow.patched(SPREAD)
        return self.retries if self.spreads else self.retries.model_copy(update={"spread": ""})

    def _key(self, chain: Chain) -> str:
        return self.key or chain.range

    async def _something(self, tasks: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        """Wait until a part has ended, deferred recipients are due, or somebody has told it something."""
        was_told = self._told

        def happened() -> bool:
            return any(task.done() for task in tasks) or self._told != was_told

        due = None if self._holds else self.next_try
        if due is None or workflow.patched(OWN_ALARM):
            self._alarm.set(due)
            await workflow.wait_condition(lambda: happened() or self._alarm.rings)
        else:
            with suppress(asyncio.TimeoutError):
                await workflow.wait_condition(
                    happened,
                    timeout=max(due - workflow.now(), timedelta(0)),
                    timeout_summary=NEXT_TRY,
                )
        for task in tasks:
            if task.done():
                task.result()
        return [task for task in tasks if not task.done()]

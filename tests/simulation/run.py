"""One run of the batch's workflow: the product's own fan-out, told what has happened.

A run is its history. Told the same again it must schedule the same parts: so a worker that has lost the run
from its cache replays it, and a reset begins a new run with the first part of an old one's history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from batchmail.batch.carried import Begun, Carried, pack, unpack
from batchmail.batch.chains import Chain, fresh
from batchmail.batch.progress import Control, Paused, PausedBy
from batchmail.batch.slices import FanOut
from batchmail.batch.tasks import Opened, Part, PartResult
from tests.simulation.setting import Setting
from tests.simulation.workflow_loop import START, WorkflowLoop
from workflows.fan_out import Slices
from workflows.hand_over import take_up


class Event(NamedTuple):
    """What the workflow is told: a part has ended so, or (`what`) a method of Slices that takes nothing."""

    what: str
    part: int = 0
    result: PartResult | None = None


class Turn(NamedTuple):
    """One workflow task: all that had happened by then."""

    now: float
    events: tuple[Event, ...]


class Run:
    """`carried`: what the run before has handed over. `parts`: all that it has scheduled, in order; a part is
    called by its place among them. `timer`: when it wants to be told the time. `carries`: what it hands over
    itself, once it has continued as new."""

    slices: Slices
    loop: WorkflowLoop
    timer: float | None
    _task: asyncio.Task[None]

    def __init__(self, setting: Setting, history: Iterable[Turn], carried: str | None = None) -> None:
        self.setting = setting
        self.history: list[Turn] = []
        self.carried = carried
        self.carries: str | None = None
        self.parts: list[Part] = []
        self._ended: list[asyncio.Future[PartResult]] = []
        self._controls: dict[str, Control] = {}
        for turn in history:
            self.take(turn)

    def take(self, turn: Turn) -> None:
        """Carry out one workflow task. The first one begins the run."""
        if not self.history:
            self.loop = WorkflowLoop(turn.now)  # type: ignore[abstract]
            self._begin()
        for event in turn.events:
            if event.result is not None:
                self._ended[event.part].set_result(event.result)
            else:
                getattr(self.slices, event.what)()
        self.loop.turn(turn.now)
        self.history.append(turn)
        self._controls.clear()
        self.timer = self.loop.next_timer
        if self._task.done():
            self._task.result()

    @property
    def has_ended(self) -> bool:
        """Whether everyone is settled."""
        return self._task.done() and self.carries is None

    def is_open(self, part: int) -> bool:
        """Whether the part's end is still awaited."""
        return not self._ended[part].done()

    def control(self, slice_range: str) -> Control:
        """What the batch wants of a slice: the query."""
        known = self._controls.get(slice_range)
        if known is None:
            known = self._controls[slice_range] = self.slices.control(slice_range)
        return known

    def _begin(self) -> None:
        setting = self.setting
        whole = Part(
            batch="batch",
            snapshot="snapshot",
            message="message",
            first=1,
            last=setting.total,
            connections=setting.connections,
            in_doubt=setting.in_doubt,
        )
        self.slices = Slices(
            whole=whole,
            send=self._send,
            retries=setting.retries,
            plan=FanOut(setting.at_once, setting.connections, setting.ahead),
            changed=lambda: None,
        )
        chains: Sequence[Chain]
        if self.carried is None:
            starts = range(1, setting.total + 1, setting.rows)
            chains = fresh([(first, first + setting.rows - 1) for first in starts], setting.retries)
        else:
            carried = unpack(self.carried)
            chains = take_up(carried, self.slices)
            if carried.cancelled:
                self.slices.cancel()
            elif carried.paused:
                self.slices.pause()
        self._task = self.loop.create_task(self._mail(chains))

    async def _mail(self, chains: Sequence[Chain]) -> None:
        """As BatchEmailWorkflow does it."""
        slices = self.slices
        await slices.run(chains)
        if chains := slices.take_left():
            pause = Paused(by=PausedBy.OPERATOR, why="", since=_SINCE)
            self.carries = pack(
                Carried(
                    begun=_BEGUN,
                    mailing_since=_SINCE,
                    cancelled=slices.cancelled,
                    chains=tuple(chains),
                    files=tuple(slices.files),
                    settled=dict(slices.settled),
                    resent=slices.resent,
                    waiting=dict(slices.waiting),
                    paused=pause if slices.paused else None,
                )
            )

    async def _send(self, part: Part) -> PartResult:
        ended = self.loop.create_future()
        self.parts.append(part)
        self._ended.append(ended)
        result: PartResult = await ended
        return result


_SINCE = datetime.fromtimestamp(START, UTC)

_BEGUN = Begun(
    snapshot="snapshot",
    facts=None,
    opened=Opened(message="message", list_name="list.csv", total=1, slice_size=1),
    started=_SINCE,
)

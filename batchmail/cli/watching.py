"""Watch a batch until it has ended: a bar at a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchmail.batch.orders import Order, command
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Doing
from batchmail.batch.result import BatchResult
from batchmail.batch.standing import Silence, Standing
from batchmail.cli.pace import Pace
from batchmail.cli.screen import Screen
from batchmail.cli.words import about
from batchmail.client import Batch
from batchmail.report.phrases import printable

_BETWEEN_LINES = 5.0  # seconds
_PATIENCE = 3.0  # seconds without an answer before it is worth a word
_BAR_WIDTH = 32


Notes = Callable[[Standing], tuple[str, ...]]


class View(Protocol):
    """Shows one standing after another."""

    def show(self, standing: Standing) -> None:
        """Show this one, in place of the last."""


async def watched(batch: Batch, task_queue: str, screen: Screen, *, dev: bool) -> BatchResult:
    """The batch's result, its way there shown on stderr."""

    def notes(standing: Standing) -> tuple[str, ...]:
        return notes_on(standing, task_queue, dev=dev)

    view = Bar(notes, screen) if screen.is_terminal else Lines(notes, screen)
    with view:
        async with aclosing(batch.watch(timedelta(seconds=0.5 if screen.is_terminal else 1))) as standings:
            async for standing in standings:
                view.show(standing)
    return await batch.result()


class Bar(AbstractContextManager["Bar"]):
    """A bar with rate and time left, and below it what the batch waits for. It leaves nothing behind."""

    def __init__(self, notes: Notes, screen: Screen) -> None:
        self._notes_on = notes
        self._pace = Pace()
        self._live = Live(
            console=screen.err,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, standing: Standing) -> None:
        """Draw the bar anew."""
        self._pace.note(time.monotonic(), standing.settled_count)
        row = Table.grid(padding=(0, 2))
        total = standing.total or None
        bar = ProgressBar(
            complete_style="green",
            total=total,
            completed=standing.settled_count,
            width=_BAR_WIDTH,
            pulse=total is None,
        )
        row.add_row(bar, Text(amount(standing, self._pace)))
        notes = [Text(printable(note), style="yellow") for note in self._notes_on(standing)]
        self._live.update(Group(row, *notes))


class Lines(AbstractContextManager["Lines"]):
    """A line every few seconds when something has changed, and at once when the batch begins to wait."""

    def __init__(self, notes: Notes, screen: Screen) -> None:
        self._notes_on = notes
        self._screen = screen
        self._pace = Pace()
        self._next_line = time.monotonic() + _BETWEEN_LINES
        self._said: tuple[object, ...] = ()
        self._notes: tuple[str, ...] = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, standing: Standing) -> None:
        """Say what is new, if it is time to."""
        now = time.monotonic()
        self._pace.note(now, standing.settled_count)
        notes = self._notes_on(standing)
        for note in notes:
            if note not in self._notes:
                self._screen.say(note)
        if self._notes and not notes:
            self._screen.say("It goes on.")
        self._notes = notes
        known = (standing.doing, standing.settled_count, standing.deferred)
        if now >= self._next_line and known != self._said:
            self._screen.say(amount(standing, self._pace))
            self._said, self._next_line = known, now + _BETWEEN_LINES


def amount(standing: Standing, pace: Pace) -> str:
    """How far it is, in one line."""
    if standing.doing is Doing.PREPARING or not standing.total:
        return "preparing"
    done = standing.settled_count
    parts = [f"{done:,} of {standing.total:,}"]
    if pace.rate >= 0.05:
        parts.append(f"{pace.rate:,.0f}/s" if pace.rate >= 10 else f"{pace.rate:.1f}/s")
    if standing.paused:
        parts.append("paused")
    elif standing.doing is not Doing.MAILING:
        parts.append(str(standing.doing))
    elif (left := pace.left(standing.total)) is not None and done < standing.total:
        parts.append(f"{about(left)} left")
    if standing.deferred:
        again = f" until {_clock(standing.next_try)}" if standing.next_try else ""
        parts.append(f"{standing.deferred:,} put off{again}")
    if not_sent := done - standing.settled.get(Outcome.SENT, 0):
        parts.append(f"{not_sent:,} not sent")
    return "  ".join(parts)


def notes_on(standing: Standing, task_queue: str, *, dev: bool) -> tuple[str, ...]:
    """What a person should know beside the numbers, a sentence each."""
    notes = [f"Waiting since {_clock(one.since)}: {one.what}" for one in standing.waiting]
    if paused := standing.paused:
        resume, cancel = (command(order, standing.batch_id) for order in (Order.RESUME, Order.CANCEL))
        with_dev = " --dev" if dev else ""
        notes.append(f"Paused since {_clock(paused.since)}: {paused.why}.")
        notes.append(f"To go on: {resume}{with_dev}; to end it: {cancel}{with_dev}")
    if standing.cancelled:
        notes.append("The batch is cancelled: nobody new is mailed.")
    since = standing.silent_since
    if since is None or (datetime.now(UTC) - since).total_seconds() < _PATIENCE:
        return tuple(notes)
    if standing.silent is Silence.ENGINE:
        advice = "end this command (Ctrl-C) and give the same command again" if dev else "this command waits"
        notes.append(f"Temporal does not answer since {_clock(since)}; the batch is safe: {advice}.")
    elif not dev:
        notes.append(
            f"No worker answers on task queue {task_queue!r} since {_clock(since)}: "
            "start one with `python worker.py`."
        )
    return tuple(notes)


def _clock(when: datetime) -> str:
    return f"{when.astimezone():%H:%M:%S}"

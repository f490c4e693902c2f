"""The current details of a batch as Temporal's Web UI shows them: markdown for people.

They are read in a small frame, which is renewed when its reader presses R: what matters most comes first,
with the time it was so. Slices count when they end. Rate and time left are means since mailing began.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from batchmail.batch.orders import Order, command
from batchmail.batch.outcomes import FINAL_OUTCOMES
from batchmail.batch.progress import Doing, Progress

_ONE_LINE_MORE = "\N{NO-BREAK SPACE}"
"""The Web UI makes its frame a line too short."""


def as_markdown(progress: Progress) -> str:
    """What the batch does, a table of its recipients by outcome, how fast it goes, and what it waits for."""
    return "\n\n".join((*_paragraphs(progress), _ONE_LINE_MORE))


def _paragraphs(progress: Progress) -> Iterator[str]:
    when = f", {_time(progress.as_of)}" if progress.as_of else ""
    yield f"**{_headline(progress)}**{when}"
    if paused := progress.paused:
        yield f"**Paused** since {_time(paused.since, progress.as_of)}: {paused.why}"
        resume, cancel = (f"`{command(order, progress.batch_id)}`" for order in (Order.RESUME, Order.CANCEL))
        yield f"To go on: {resume} or the signal `resume`; to end it: {cancel}"
    for what in dict.fromkeys(one.what for one in progress.waiting):
        since = min(one.since for one in progress.waiting if one.what == what)
        yield f"**Waiting** since {_time(since, progress.as_of)}: {what}"
    if pace := ", ".join(_pace(progress)):
        yield pace
    if progress.total:
        yield "\n".join(_table(progress))


def _headline(progress: Progress) -> str:
    said = "paused" if progress.paused else str(progress.doing)
    if progress.cancelled:
        said = "cancelled" if progress.doing is Doing.DONE else f"{said} (cancelled: nobody new is mailed)"
    name = f": {_plain(progress.list_name)}" if progress.list_name else ""
    return said[:1].upper() + said[1:] + name


def _table(progress: Progress) -> Iterator[str]:
    open_ones = progress.total - progress.settled_count - progress.deferred
    when = f", again at {_time(progress.next_try, progress.as_of)}" if progress.next_try else ""
    yield "| outcome | recipients | % |"
    yield "| --- | ---: | ---: |"
    for name, count in (
        *((str(outcome), progress.settled.get(outcome, 0)) for outcome in FINAL_OUTCOMES),
        (f"deferred{when}", progress.deferred),
        ("not settled yet", open_ones),
    ):
        if count or name in FINAL_OUTCOMES:
            yield f"| {name} | {count:,} | {_percent(count, progress.total)} |"
    yield f"| **in all** | **{progress.total:,}** | |"


def _percent(count: int, total: int) -> str:
    """Never 100 before everybody is there, never 0 while somebody is."""
    if count in (0, total):
        return "100" if count else "0"
    return f"{min(max(100 * count / total, 0.1), 99.9):.1f}"


def _pace(progress: Progress) -> Iterator[str]:
    if progress.settled_count and progress.took:
        rate = progress.settled_count / progress.took.total_seconds()
        left = progress.total - progress.settled_count - progress.deferred
        yield f"{rate:,.0f} a second on average" if rate >= 1 else f"{rate * 60:,.1f} a minute on average"
        if left:
            yield f"about {_duration(timedelta(seconds=left / rate))} left"
    if progress.slices_running or progress.slices_left:
        slices = "slice" if progress.slices_running == 1 else "slices"
        yield f"{progress.slices_running:,} {slices} running, {progress.slices_left:,} to come"


def _duration(left: timedelta) -> str:
    seconds = max(1, round(left.total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _time(when: datetime, seen: datetime | None = None) -> str:
    """With its date, but where that is the day it is seen on."""
    same_day = seen is not None and when.date() == seen.date()
    return f"{when:%H:%M:%S} UTC" if same_day else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _plain(name: str) -> str:
    """A file's name as code, so that nothing in it is taken for markdown."""
    return "`" + name.replace("`", "'").replace("|", "¦") + "`"

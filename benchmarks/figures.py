"""Figures of several rounds: medians with their spread, and ratios taken within each round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """The median of several rounds, the least and the greatest."""

    median: float
    least: float
    greatest: float

    def show(self, form: str) -> str:
        """As text; `form` is a format specification for each."""
        return f"{self.median:{form}} ({self.least:{form}}–{self.greatest:{form}})"


class Way(NamedTuple):
    """One way to mail, and its seconds in each round. `goal`: the ratio to the reference that is aimed at."""

    name: str
    seconds: Sequence[float]
    goal: float | None = None


class Measured(NamedTuple):
    """What a scenario came to. The first way is the reference for the others; notes are further figures."""

    title: str
    recipients: int
    ways: tuple[Way, ...]
    notes: tuple[str, ...]


class Wait(NamedTuple):
    """What is waited for, and its seconds in each round. `goal`: the most it is to take in every round."""

    name: str
    seconds: Sequence[float]
    goal: float | None = None


class Waited(NamedTuple):
    """What a scenario came to that measures waits, which need no reference."""

    title: str
    waits: tuple[Wait, ...]
    notes: tuple[str, ...]


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def rates(recipients: int, seconds: Sequence[float]) -> Spread:
    """Emails a second."""
    return spread([recipients / each for each in seconds])


def ratios(reference: Sequence[float], seconds: Sequence[float]) -> Spread:
    """How many times as fast as the reference, round by round: what slows a whole round slows both."""
    return spread([theirs / ours for theirs, ours in zip(reference, seconds, strict=True)])


def table(measured: Measured | Waited, *, goals: bool) -> str:
    """As text for a terminal, which is Markdown too. `goals`: measured at the size for which they are set."""
    head, *rows = _speeds(measured, goals) if isinstance(measured, Measured) else _waits(measured, goals)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        [
            f"## {measured.title}",
            "",
            *(_line(row, widths) for row in (head, rule, *rows)),
            "",
            *(f"- {note}" for note in measured.notes),
        ]
    )


def _speeds(measured: Measured, goals: bool) -> Iterator[tuple[str, ...]]:
    reference, *others = measured.ways
    yield "", "emails/s", f"to the {reference.name}", "goal"
    yield reference.name, _rates(measured, reference), "1", ""
    for way in others:
        ratio = ratios(reference.seconds, way.seconds)
        reached = way.goal is not None and ratio.median >= way.goal
        yield way.name, _rates(measured, way), ratio.show(".2f"), _goal("≥", way.goal, reached, goals)


def _waits(waited: Waited, goals: bool) -> Iterator[tuple[str, ...]]:
    yield "", "seconds", "goal"
    for wait in waited.waits:
        seconds = spread(wait.seconds)
        reached = wait.goal is not None and seconds.greatest <= wait.goal
        yield wait.name, seconds.show(".1f"), _goal("≤", wait.goal, reached, goals)


def _rates(measured: Measured, way: Way) -> str:
    return rates(measured.recipients, way.seconds).show(",.0f")


def _goal(bound: str, goal: float | None, reached: bool, shown: bool) -> str:
    if goal is None or not shown:
        return ""
    return f"{bound} {goal:g}: {'reached' if reached else 'missed'}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"

"""Figures of several rounds: medians with their spread, and ratios taken within each round."""

from __future__ import annotations

from collections.abc import Sequence
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


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def rates(recipients: int, seconds: Sequence[float]) -> Spread:
    """Emails a second."""
    return spread([recipients / each for each in seconds])


def ratios(reference: Sequence[float], seconds: Sequence[float]) -> Spread:
    """How many times as fast as the reference, round by round: what slows a whole round slows both."""
    return spread([theirs / ours for theirs, ours in zip(reference, seconds, strict=True)])


def table(measured: Measured) -> str:
    """As text for a terminal, which is Markdown too."""
    reference, *others = measured.ways
    rows = [("", "emails/s", f"to the {reference.name}", "goal"), ("", "", "", "")]
    rows.append((reference.name, rates(measured.recipients, reference.seconds).show(",.0f"), "1", ""))
    for way in others:
        ratio = ratios(reference.seconds, way.seconds)
        goal = f"{way.goal}: {'reached' if ratio.median >= way.goal else 'missed'}" if way.goal else ""
        rows.append((way.name, rates(measured.recipients, way.seconds).show(",.0f"), ratio.show(".2f"), goal))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        " | ".join(
            cell.ljust(width) if row[1] else "-" * width for cell, width in zip(row, widths, strict=True)
        )
        for row in rows
    ]
    return "\n".join(
        [
            f"## {measured.title}",
            "",
            *(f"| {line} |" for line in lines),
            "",
            *(f"- {note}" for note in measured.notes),
        ]
    )

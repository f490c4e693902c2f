"""How an error names a place in a message, and a near miss."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple


class Place(NamedTuple):
    """Where a template stands: a file and the line (from 1) it begins at, or an option with line 0."""

    name: str
    line: int

    def at(self, line: int) -> str:
        """The place of the template's own `line` (from 1; 0: not known), as errors name it."""
        return f"{self.name}, line {self.line + line - 1}" if self.line and line else self.name


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'this'?)`, or nothing where no known word is near."""
    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""

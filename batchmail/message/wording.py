"""How an error names a place in a message, what was found there, and a near miss: in one short sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple

_SHOWN_CHARACTERS = 100
_SHOWN_WORDS = 20
_COMPARED_WORDS = 1000


class Place(NamedTuple):
    """Where a template stands: a file and the line (from 1) it begins at, or an option with line 0."""

    name: str
    line: int

    def at(self, line: int) -> str:
        """The place of the template's own `line` (from 1; 0: not known), as errors name it."""
        return f"{self.name}, line {self.line + line - 1}" if self.line and line else self.name


def cut(text: str) -> str:
    """`text`, or its beginning where it is long."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def listed(words: Sequence[str]) -> str:
    """The words, or the first of them and how many more there are."""
    more = len(words) - _SHOWN_WORDS
    return ", ".join(map(cut, words[:_SHOWN_WORDS])) + (f" and {more:,} more" if more > 0 else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'this'?)`, or nothing where no known word is near.

    Comparing takes time with the square of a word's length: long words, and those past the thousandth, are
    left out.
    """
    compared = [each for each in islice(known, _COMPARED_WORDS) if len(each) <= _SHOWN_CHARACTERS]
    near = get_close_matches(word, compared, n=1) if len(word) <= _SHOWN_CHARACTERS else None
    return f" (did you mean {near[0]!r}?)" if near else ""

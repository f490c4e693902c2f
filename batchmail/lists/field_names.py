"""A column's title → the name by which a message's template reaches it."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Sequence

_RESERVED = frozenset({*keyword.kwlist, "true", "false", "none", "self"})
"""Python's keywords cover Jinja's operators; Jinja also has constants in small letters, and `self`."""


def field_name(title: str, number: int) -> str:
    """The identifier for the column `title`, the `number`-th of the list (from 1).

    Lower case, in NFKC as Python's own identifiers; what no identifier may hold becomes '_' (at either end:
    nothing), and a leading digit gets one before it: `First Name` → `first_name`, `2nd` → `_2nd`. A word that
    templates keep for themselves gets one behind it: `class_`. A title without a letter or digit is
    `column_<number>`.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", title).lower())
    name = "_".join("".join(c if f"_{c}".isidentifier() else " " for c in folded).split())
    if not name.strip("_"):
        return f"column_{number}"
    if not name.isidentifier():
        name = f"_{name}"
    return f"{name}_" if name in _RESERVED else name


def clash(names: Sequence[str]) -> tuple[int, int] | None:
    """The first two positions whose names are the same, or None."""
    first: dict[str, int] = {}
    for position, name in enumerate(names):
        if first.setdefault(name, position) != position:
            return first[name], position
    return None

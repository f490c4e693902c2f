"""The list's first row: which delimiter, which column has the address, what the others are called.

The header decides about the delimiter, by being tried with each: guessing from the rows (csv.Sniffer) goes
wrong with commas in names, and a list of one column has no delimiter at all.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from batchmail.lists.addresses import usable_address
from batchmail.lists.field_names import clash, field_name
from batchmail.lists.lines import Lines

DELIMITERS = (",", ";", "\t")
EMAIL = "email"

_LIKE_AN_ADDRESS = re.compile(r"\S@\S")
_BLANK = re.compile(r"[\s,;]*")
"""With another delimiter than the list's own, a line of nothing but delimiters is a cell."""
_SHOWN_TITLES = 10
_SHOWN_CHARACTERS = 40


class Header(NamedTuple):
    """How to read the rows below."""

    delimiter: str
    address: int
    """The address column's position, from 0."""
    fields: tuple[str, ...]
    """The names of all other columns, in order."""
    width: int
    """Cells a row must have."""
    widest: int
    """Cells a row may have if those past `width` are empty: spreadsheets leave columns without a title at
    the right-hand end, and do not always fill them up."""
    row: int
    """The header is the n-th record of the file (from 1), blank ones counted."""


def read_header(lines: Lines, source: Iterator[str], email_column: str | None) -> tuple[Header, list[str]]:
    """The header, and the lines taken from `source` to find it. Raises ListError."""
    taken: list[str] = []
    tried = [_first_record(delimiter, taken, source) for delimiter in DELIMITERS]
    records = [record for record in tried if isinstance(record, _Record)]
    if records and not any(record.cells for record in records):
        raise lines.fault("is empty: it needs a header and a row a recipient")
    if lines.last_with_nul:
        raise lines.fault("is binary or UTF-16 (its header has NUL characters): save it as CSV in UTF-8")
    fitting = [record for record in records if _address_columns(record.cells, email_column)]
    if not records and len(taken) == 1 and all("field limit" in str(error) for error in tried):
        raise lines.fault(
            f"has a column's name of more than {csv.field_size_limit():,} characters in its header"
        )
    if not fitting and len(records) < len(tried) and all(len(record.cells) <= 1 for record in records):
        raise lines.fault('has a quotation mark (") in its header that is never closed, or closed too early')
    # max takes the first of equals, so comma goes before semicolon before tab.
    delimiter, cells, row = max(fitting or records, key=lambda record: len(record.cells))
    titles = [cell.strip().strip("\ufeff").strip() for cell in cells]
    if _has_an_address(titles, strictly=bool(fitting)):
        raise lines.fault(
            "has no header: its first row has an address in it; name the columns in a first row"
        )
    address = _the_address_column(lines, titles, email_column)
    width = max(position for position, title in enumerate(titles, 1) if title)
    fields = _field_names(lines, titles[:width], address)
    return Header(delimiter, address, fields, width, len(titles), row), taken


def _has_an_address(titles: Sequence[str], *, strictly: bool) -> bool:
    """Whether the row is a recipient's. Where no column fits, what only looks like an address is one too:
    a message that names the columns must not show it."""
    similar = [title for title in titles if _LIKE_AN_ADDRESS.search(title)]
    return any(not strictly or isinstance(usable_address(title), str) for title in similar)


class _Record(NamedTuple):
    delimiter: str
    cells: list[str]
    row: int


def _first_record(delimiter: str, taken: list[str], source: Iterator[str]) -> _Record | csv.Error:
    """The first record that is not blank (no cells: there is none), or why it cannot be read.

    Reads `taken` again, then on from `source`: each delimiter sees the file from its start.
    """

    def further() -> Iterator[str]:
        for line in source:
            taken.append(line)
            yield line

    row = 0
    try:
        for row, cells in enumerate(
            csv.reader(chain(list(taken), further()), delimiter=delimiter, strict=True), 1
        ):
            if not all(map(_BLANK.fullmatch, cells)):
                return _Record(delimiter, cells, row)
    except csv.Error as error:
        return error
    return _Record(delimiter, [], row)


def _the_address_column(lines: Lines, titles: Sequence[str], email_column: str | None) -> int:
    found = _address_columns(titles, email_column)
    if len(found) == 1:
        return found[0]
    wanted = EMAIL if email_column is None else email_column
    if found:
        raise lines.fault(
            f"has two columns for the addresses: {_shown_title(titles, found[0])} "
            f"and {_shown_title(titles, found[1])}; rename one of them"
        )
    raise lines.fault(
        f"has no column {wanted!r}, but {_shown(titles)}: "
        "name the column with the addresses by --email-column"
    )


def _address_columns(titles: Sequence[str], email_column: str | None) -> list[int]:
    """The columns that fit: those written exactly as asked for, else in any case and white space."""
    wanted = EMAIL if email_column is None else email_column
    exact = [position for position, title in enumerate(titles) if title == wanted]
    return exact or [
        position for position, title in enumerate(titles) if title.strip().lower() == wanted.strip().lower()
    ]


def _field_names(lines: Lines, titles: Sequence[str], address: int) -> tuple[str, ...]:
    names = [
        EMAIL if position == address else field_name(title, position + 1)
        for position, title in enumerate(titles)
    ]
    met = clash(names)
    if met is not None:
        one, other = met
        raise lines.fault(
            f"has two columns for the one name {names[one]} in the message: "
            f"{_shown_title(titles, one)} and {_shown_title(titles, other)}; rename one of them"
        )
    return (*names[:address], *names[address + 1 :])


def _shown(titles: Sequence[str]) -> str:
    shown = [repr(_cut(title)) for title in titles[:_SHOWN_TITLES]]
    more = len(titles) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _shown_title(titles: Sequence[str], position: int) -> str:
    return f"{_cut(titles[position])!r} (number {position + 1})"


def _cut(title: str) -> str:
    return title if len(title) <= _SHOWN_CHARACTERS else f"{title[:_SHOWN_CHARACTERS]}…"

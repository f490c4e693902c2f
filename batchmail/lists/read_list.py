"""A list, row by row: recipients, and rows that are none with the reason. Streamed: memory does not grow."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType

from batchmail.batch.recipients import Recipient
from batchmail.lists.addresses import NO_ADDRESS, Unusable, usable_address
from batchmail.lists.header import Header, read_header
from batchmail.lists.lines import Lines
from batchmail.lists.snapshot import InvalidRow


class ListReader:
    """The CSV file `path`, opened, its header read; raises ListError where that cannot be done.

    `email_column` names the address column if it is not called `email`.
    """

    def __init__(self, path: Path, email_column: str | None = None) -> None:
        self._lines = Lines(path)
        try:
            self._source = iter(self._lines)
            self._header, self._taken = read_header(self._lines, self._source, email_column)
        except BaseException:
            self._lines.__exit__(None, None, None)
            raise

    def __enter__(self) -> ListReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lines.__exit__(kind, error, traceback)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of each recipient's fields."""
        return self._header.fields

    def rows(self) -> Iterator[Recipient | InvalidRow]:
        """Every row that is not blank, in order, once; `line` is where the row begins in the file.

        Raises ListError where reading on would be guessing: at bytes that are not UTF-8, and at a quoted
        field that runs on into other rows.
        """
        header, lines = self._header, self._lines
        reader = csv.reader(chain(self._taken, self._source), delimiter=header.delimiter, strict=True)
        for _ in range(header.row):
            next(reader)
        while True:
            line = reader.line_num + 1
            lines.begin_row()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._misquoted(line, reader.line_num, str(error))
                continue
            if len(cells) != header.width:
                fault = _fit(cells, header)
                if fault is not None:
                    if any(map(str.strip, cells)):
                        yield InvalidRow(line, fault + _further(line, reader.line_num))
                    continue
            if lines.last_with_nul >= line:
                yield InvalidRow(line, "has a NUL character in it")
                continue
            address = usable_address(cells.pop(header.address))
            if not isinstance(address, Unusable):
                yield Recipient(line, address, tuple(cells))
            elif any(map(str.strip, cells)) or address != NO_ADDRESS:
                yield InvalidRow(line, address.reason)

    def _misquoted(self, begun: int, ended: int, error: str) -> InvalidRow:
        """What to make of a row whose quoting the csv module does not accept.

        Within one line it is that row's own fault. Over several, people may have been swallowed: the list is
        refused rather than they lost.
        """
        row = f'has a quoted field (") in the row that begins at line {begun}'
        if self._lines.ended:
            raise self._lines.fault(f"{row} and is never closed")
        too_long = "field larger than field limit" in error
        if ended == begun:
            limit = f"has a cell of more than {csv.field_size_limit():,} characters"
            return InvalidRow(begun, limit if too_long else 'has text behind a closing quotation mark (")')
        if too_long:
            raise self._lines.fault(
                f"{row} and is still open {csv.field_size_limit():,} characters later: close it"
            )
        raise self._lines.fault(
            f"{row} and text behind its closing mark at line {ended}: is a quotation mark missing there?"
        )


def _fit(cells: list[str], header: Header) -> str | None:
    """Cut off the empty cells of columns without a title; or say what is wrong with the number of cells."""
    count = len(cells)
    if not header.width <= count <= header.widest:
        have = "1 cell" if count == 1 else f"{count} cells"
        return f"has {have} where the header has {header.width}"
    if any(map(str.strip, cells[header.width :])):
        return f"has a cell behind the last column with a title (number {header.width})"
    del cells[header.width :]
    return None


def _further(begun: int, ended: int) -> str:
    """That a row is spread over lines: with the wrong number of cells it may have swallowed others."""
    return "" if ended == begun else f", and a quoted field that goes on to line {ended}"

"""The lines of a list's file as text: opened, recognised, decoded.

Every way in which a file can fail to be text ends here, in one sentence that says what to do.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType

from batchmail.errors import ListError

MAX_LINE = 8_000_000
"""Characters of a line, and of a row over several; room for 100,000 columns, and the bound on memory for a
file that has no end of either."""

_WIDE = "is UTF-16 or UTF-32: save it as CSV in UTF-8"
_WORKBOOK = "looks like a workbook (Excel, OpenDocument) or a zip file: save the sheet as CSV in UTF-8"
_KINDS = (
    (codecs.BOM_UTF16_LE, _WIDE),
    (codecs.BOM_UTF16_BE, _WIDE),
    (codecs.BOM_UTF32_BE, _WIDE),
    (b"PK\x03\x04", _WORKBOOK),
    (b"\xd0\xcf\x11\xe0", _WORKBOOK),
    (b"\x1f\x8b", "is compressed (gzip): unpack it first"),
    (b"%PDF", "is a PDF file: save the list as CSV in UTF-8"),
)


class Lines:
    """Iterates over the lines of the UTF-8 text file `path`, with their line ends, once.

    Lines end at LF, CRLF or CR, as spreadsheets and editors count them. Raises ListError for a file that
    cannot be opened or read, is of another kind, or is not UTF-8 (a BOM is skipped).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_with_nul = 0
        """The number of the last line so far that has a NUL character."""
        self.ended = False
        """Whether the end of the file was reached."""
        self._of_row = 0
        try:
            self._binary = path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            self._text = self._decoded()
        except BaseException:
            self._binary.close()
            raise

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._text.close()

    def __iter__(self) -> Iterator[str]:
        read = iter(partial(self._text.readline, MAX_LINE), "")
        number = 0
        try:
            for number, line in enumerate(read, 1):
                if not line.isascii():
                    self._check_decoded(line, number)
                if len(line) == MAX_LINE and line[-1] not in "\r\n":
                    raise self.fault(f"has a line (number {number}) of more than {MAX_LINE:,} characters")
                self._of_row += len(line)
                if self._of_row > MAX_LINE:
                    raise self.fault(
                        f"has a row of more than {MAX_LINE:,} characters, blank lines before it counted, "
                        f'that is still open at line {number}: a quotation mark (") is missing'
                    )
                if "\0" in line:
                    self.last_with_nul = number
                yield line
        except OSError as error:
            raise self._unreadable(error) from None
        self.ended = True

    def begin_row(self) -> None:
        """What is read from now on belongs to another row."""
        self._of_row = 0

    def fault(self, what: str) -> ListError:
        """The error that says of this list `what`: a sentence without its subject and full stop."""
        return ListError(f"The list {self.path} {what}.")

    def _decoded(self) -> io.TextIOWrapper:
        try:
            head = self._binary.peek(4)
        except OSError as error:
            raise self._unreadable(error) from None
        for magic, what in _KINDS:
            if head.startswith(magic):
                raise self.fault(what)
        if head.startswith(codecs.BOM_UTF8):
            self._binary.read(len(codecs.BOM_UTF8))
        # surrogateescape carries a byte that is not UTF-8 as far as its line, whose number is known there.
        return io.TextIOWrapper(self._binary, "utf-8", errors="surrogateescape", newline="")

    def _check_decoded(self, line: str, number: int) -> None:
        try:
            line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) - 0xDC00
            raise self.fault(
                f"is not UTF-8: line {number} has the byte 0x{byte:02x}; save it as CSV in UTF-8"
            ) from None

    def _unreadable(self, error: OSError) -> ListError:
        if isinstance(error, FileNotFoundError):
            return self.fault("does not exist: check the path")
        if isinstance(error, IsADirectoryError):
            return self.fault("is a folder: give the CSV file in it")
        if isinstance(error, PermissionError):
            return self.fault("may not be read by this user: change its permissions")
        return self.fault(f"cannot be read ({error.strerror or type(error).__name__})")

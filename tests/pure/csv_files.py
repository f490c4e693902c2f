"""Lists for tests, and what reading one comes to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from batchmail.batch.recipients import Recipient
from batchmail.lists.read_list import ListReader
from batchmail.lists.snapshot import InvalidRow


class Read(NamedTuple):
    fields: tuple[str, ...]
    recipients: list[Recipient]
    invalid: list[InvalidRow]

    @property
    def addresses(self) -> list[str]:
        return [recipient.address for recipient in self.recipients]


def csv_file(folder: Path, content: str | bytes, name: str = "list.csv") -> Path:
    """A file with exactly this content (text as UTF-8, line ends untouched)."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, email_column: str | None = None) -> Read:
    with ListReader(path, email_column) as reader:
        rows = list(reader.rows())
        return Read(
            reader.fields,
            [row for row in rows if isinstance(row, Recipient)],
            [row for row in rows if isinstance(row, InvalidRow)],
        )

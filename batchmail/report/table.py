"""report.csv: a row a recipient, in the list's order, that a person opens and a program reads.

UTF-8, comma, one line a row; `in_doubt` is yes or no; `code`, `enhanced_code`, `reason` and `relay_said` are
empty where there is nothing to say. `line` is the recipient's line in the list.

A spreadsheet takes a cell that begins with = + - @ for a formula, and addresses and the relay's words come
from outside. Such an address is written with its local part quoted (`"=1+1"@example.com`): by RFC 5321,
section 4.1.2, that is the same mailbox, so a program that mails it mails nobody else. Other text gets an
apostrophe before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from batchmail.batch.outcomes import Outcome
from batchmail.batch.places import batch_folder
from batchmail.batch.recipients import Recipient
from batchmail.report.endings import Ending, Endings
from batchmail.report.explain import Reason, explain
from batchmail.report.failures import MOST_FAILURES, Failure

COLUMNS = ("line", "address", "outcome", "code", "enhanced_code", "reason", "in_doubt", "relay_said")
HEADER = (",".join(COLUMNS) + "\n").encode()

_FORMULA = "=+@\t\r\n＝＋－＠-"
"""OWASP, "CSV injection"; the wide forms count in East Asian spreadsheets."""

_NOT_PLAIN = re.compile(f'(?:^|,)[{_FORMULA}]|["\r\n]')
"""In addresses joined by commas: one that cannot stand in the table as it is."""

_NOT_FAILED = (Outcome.SENT, Outcome.SUPPRESSED)


def report_name(batch_id: str) -> str:
    """The object a batch's report is written to."""
    return f"{batch_folder(batch_id)}/report.csv"


class Table:
    """Writes the table block by block, and keeps the first failures on the way."""

    def __init__(self, endings: Endings, reason: Reason) -> None:
        self.failures: list[Failure] = []
        self._endings = endings
        self._reasons = [explain(ending, reason) for ending in endings.kinds]
        self._rests = [_rest(ending, why) for ending, why in zip(endings.kinds, self._reasons, strict=True)]
        self._row = 0

    @property
    def row(self) -> int:
        """The last row written, counted from 1; 0 before the first."""
        return self._row

    def write(self, block: Sequence[Recipient], said: Mapping[int, str]) -> bytes:
        """The table's rows for the recipients that follow those written before; `said`: words by row."""
        first = self._row + 1
        self._row += len(block)
        places = self._endings.places(first, self._row)
        rests = self._rests
        rows = [
            f"{recipient.line},{address}{rests[place]}"
            for recipient, address, place in zip(block, _addresses(block), places, strict=True)
        ]
        for row in said:
            if first <= row <= self._row and self._is_answered(places[row - first]):
                rows[row - first] += _cell(_one_line(said[row]))
        if len(self.failures) < MOST_FAILURES:
            self._note_failures(block, places)
        rows.append("")
        return "\n".join(rows).encode()

    def _is_answered(self, place: int) -> bool:
        """Whether words kept for the row are about its ending: who was sent in the end may have been put off
        before."""
        return self._endings.kinds[place].outcome is not Outcome.SENT

    def _note_failures(self, block: Sequence[Recipient], places: Sequence[int]) -> None:
        failed = {
            place for place, ending in enumerate(self._endings.kinds) if ending.outcome not in _NOT_FAILED
        }
        for recipient, place in zip(block, places, strict=True):
            if place in failed:
                outcome, reason = self._endings.kinds[place].outcome, self._reasons[place]
                self.failures.append(Failure(line=recipient.line, outcome=outcome, reason=reason))
                if len(self.failures) == MOST_FAILURES:
                    return


def _rest(ending: Ending, why: str) -> str:
    """What follows the address, up to the relay's words."""
    code = str(ending.cause.code) if ending.cause.code else ""
    cells = (ending.outcome, code, ending.cause.enhanced, why, "yes" if ending.in_doubt else "no")
    return "," + ",".join(map(_cell, cells)) + ","


def _addresses(block: Sequence[Recipient]) -> Sequence[str]:
    """The address cells of a block; nearly always all are plain."""
    addresses = [recipient.address for recipient in block]
    joined = ",".join(addresses)
    if joined.count(",") < len(addresses) and not _NOT_PLAIN.search(joined):
        return addresses
    return [_cell(_quoted(address) if address[0] in _FORMULA else address) for address in addresses]


def _quoted(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f'"{local}"@{domain}'


def _one_line(text: str) -> str:
    """A relay's words in one line, without what would drive a terminal or a spreadsheet."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return f"'{line}" if line and line[0] in _FORMULA else line


def _cell(text: str) -> str:
    """`text` as one cell (RFC 4180)."""
    if any(mark in text for mark in ',"\r\n'):
        text = text.replace('"', '""')
        return f'"{text}"'
    return text

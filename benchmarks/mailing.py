"""What is mailed: a list with three fields, and a personalised text of about 2 KB."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from batchmail.batch.recipients import Recipient
from batchmail.message.compiled import compile_message, rfc5322_date
from batchmail.message.source import read_message

MESSAGE = Path(__file__).with_name("message.txt")
FIELDS = ("first_name", "city", "points")


class Mailing(NamedTuple):
    """A list, a message, and how many octets one mail has."""

    list: Path
    message: Path
    recipients: int
    octets: int


def mailing(folder: Path, recipients: int) -> Mailing:
    """Write a list of so many recipients."""
    path = folder / f"emails-{recipients}.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["email", *FIELDS])
        rows.writerows(row(number) for number in range(1, recipients + 1))
    return Mailing(path, MESSAGE, recipients, _octets(recipients // 2))


def row(number: int) -> list[str]:
    """The list's row of recipient `number`: address and fields."""
    return [f"reader-{number}@example.com", f"Reader {number}", f"Town {number % 97}", str(number * 3)]


def _octets(number: int) -> int:
    """The size of one mail, filled as a batch fills it."""
    address, *fields = row(number)
    message = compile_message(read_message(MESSAGE), FIELDS)
    recipient = Recipient(number + 1, address, tuple(fields))
    message_id = f"<{'0' * 40}@sender.example>"
    return message.fill(recipient, message_id, rfc5322_date(datetime.now(UTC)), True).size

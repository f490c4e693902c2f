"""A mail to one admin, as bytes: what all notices have in common.

Plain text, 7-bit clean where it can be. Where the list's name, or anything else from outside, holds control
characters, they are replaced: nothing from outside makes a header or a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import NamedTuple

from batchmail.report.phrases import printable

_LONGEST_NAME = 100
_LONGEST_LINE = 998
"""RFC 5322, section 2.1.1."""


class Heads(NamedTuple):
    """The headers that differ from mail to mail; `message_id` has its angle brackets."""

    sender: str
    to: str
    message_id: str
    date: datetime


def admin_mail(headline: str, lines: Sequence[str], *, list_name: str, heads: Heads) -> bytes:
    """The mail, ready to follow DATA: CRLF, dot-stuffed, ended by a lone dot.

    Raises ValueError for a sender or recipient that cannot stand in a header.
    """
    ascii_addresses = heads.sender.isascii() and heads.to.isascii()
    mail = EmailMessage(policy=policy.SMTP if ascii_addresses else policy.SMTPUTF8)
    mail["From"] = heads.sender
    mail["To"] = heads.to
    mail["Subject"] = f"[batchmail] {clean(list_name)}: {headline}"
    mail["Date"] = format_datetime(heads.date)
    mail["Message-ID"] = heads.message_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    body = "\n".join(lines) + "\n"
    plain = body.isascii() and max(map(len, body.splitlines())) <= _LONGEST_LINE
    mail.set_content(body, charset="utf-8", cte="7bit" if plain else "quoted-printable")
    return re.sub(rb"(?m)^\.", b"..", mail.as_bytes()).removesuffix(b"\r\n") + b"\r\n.\r\n"


def facts(*named: tuple[str, str]) -> list[str]:
    """Labelled lines; those without a value are left out."""
    return [f"{name + ':':10}{value}" for name, value in named if value]


def clean(text: str, longest: int = _LONGEST_NAME) -> str:
    """Text from outside as part of one line."""
    line = printable(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"

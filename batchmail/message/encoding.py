"""A filled body → the octets of a MIME part, and a whole mail → the octets of SMTP's DATA."""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from enum import StrEnum
from typing import NamedTuple

_LINE_END = re.compile("\r\n|\r|\n")
_ASCII = bytes(range(128))
_LONGEST = 998
_LAST_LINE = b".\r\n"


class Transfer(StrEnum):
    """Content-Transfer-Encoding (RFC 2045, section 6)."""

    SEVEN_BIT = "7bit"
    EIGHT_BIT = "8bit"
    QUOTED_PRINTABLE = "quoted-printable"
    BASE64 = "base64"


class Encoded(NamedTuple):
    """The octets of a part, ending in CRLF, and how they are encoded."""

    transfer: Transfer
    data: bytes


def crlf(text: str) -> str:
    """`text` with every line end, bare CR and LF too, as CRLF."""
    return _LINE_END.sub("\r\n", text) if "\r" in text else text.replace("\n", "\r\n")


def encode_body(text: str, eight_bit: bool) -> Encoded:
    """Encode `text`, whose line ends are CRLF, for a relay with or without 8BITMIME (RFC 6152).

    Text goes as it is where it may: no line over 998 octets, no NUL, and ASCII unless `eight_bit`. Otherwise
    it is quoted-printable, or base64 where that is shorter. Raises UnicodeEncodeError for lone surrogates.
    """
    if not text.endswith("\r\n"):
        text += "\r\n"
    data = text.encode()
    if (text.isascii() or eight_bit) and b"\0" not in data and not _has_long_line(data):
        return Encoded(Transfer.SEVEN_BIT if text.isascii() else Transfer.EIGHT_BIT, data)
    beyond_ascii = len(data.translate(None, _ASCII))
    if beyond_ascii * 6 > len(data):
        return Encoded(Transfer.BASE64, _base64(data))
    return Encoded(Transfer.QUOTED_PRINTABLE, b2a_qp(data))


def _has_long_line(data: bytes) -> bool:
    """Whether a line has over 998 octets, looked at from one window of 1000 to the next."""
    start = 0
    while len(data) - start > _LONGEST + 2:
        end = data.rfind(b"\r\n", start, start + _LONGEST + 2)
        if end < 0:
            return True
        start = end + 2
    return False


def _base64(data: bytes) -> bytes:
    lines = (b2a_base64(data[start : start + 57], newline=False) for start in range(0, len(data), 57))
    return b"\r\n".join(lines) + b"\r\n"


def dot_stuffed(mail: bytes) -> bytes:
    """`mail`, which ends in CRLF, as it goes out after DATA, final dot included (RFC 5321 4.5.2)."""
    stuffed = mail.replace(b"\r\n.", b"\r\n..") + _LAST_LINE
    return b"." + stuffed if mail.startswith(b".") else stuffed

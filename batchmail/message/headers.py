"""A header's name and value → its lines: nothing that is put in a value can begin another header."""

from __future__ import annotations

import re
from binascii import b2a_base64

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WORD = re.compile(r" *[^ ]+")
_NAME = re.compile(r"[!-9;-~]{1,76}")

_OURS = {
    "from": "from",
    "subject": "subject",
    "reply-to": "reply-to",
}
_RESERVED = frozenset(
    {"to", "cc", "bcc", "date", "message-id", "mime-version", "return-path", "sender", "received"}
    | {"dkim-signature", "domainkey-signature", "authentication-results"}
)
_RESERVED_FAMILIES = ("content-", "resent-", "arc-")

_WIDTH = 78  # RFC 5322 2.1.1
_ENCODED_WIDTH = 76  # RFC 2047 2
_LONGEST = 998  # RFC 5322 2.1.1
_FRAME = len("=?utf-8?b??=")


def check_name(name: str) -> None:
    """Raise ValueError, with the end of a sentence, where the user may not set the header `name`."""
    lower = name.lower()
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            "is no header name: letters, digits and '-' are, without spaces or ':', at most 76 of them"
        )
    if lower in _OURS:
        raise ValueError(f"has a place of its own: write '{_OURS[lower]}:' outside of 'headers'")
    if lower in _RESERVED or lower.startswith(_RESERVED_FAMILIES):
        raise ValueError("is made by the program or the relay for each mail: leave it out")


def check_one_line(text: str) -> None:
    """Raise ValueError, with half a sentence, for a value that is more than one line."""
    if any(character in text for character in "\r\n\0"):
        raise ValueError("it must be a single line")


def one_line(text: str) -> str:
    """`text` on one line: a run of control characters and line ends is one space; no space at the ends."""
    if not text.isprintable():
        text = _CONTROL.sub(" ", text)
    return text.strip(" ")


def header(name: str, text: str) -> str:
    """The header `name: text` as ASCII lines joined by CRLF, without the last CRLF.

    `text` becomes one line (see `one_line`). Lines are at most 78 wide where there is a space to fold at, and
    998 in any case. What is not ASCII, has a longer word, or would be taken for an encoded word, is encoded
    (RFC 2047). Raises UnicodeEncodeError for lone surrogates.
    """
    text = one_line(text)
    line = f"{name}: {text}"
    if text.isascii() and not ("=?" in text and "?=" in text):
        if len(line) <= _WIDTH:
            return line
        folded = _fold(f"{name}:", text)
        if folded is not None:
            return folded
    return f"{name}: {encoded_words(text, len(name) + 2)}"


def _fold(name: str, text: str) -> str | None:
    """The header folded before spaces; None where a word is too long for any line.

    The name never stands alone on its line, and no line is nothing but spaces: mail programs trip over both.
    """
    first, *words = _WORD.findall(f" {text}")
    lines = [name + first]
    for word in words:
        if len(lines[-1]) + len(word) > _WIDTH:
            lines.append(word)
        else:
            lines[-1] += word
    return "\r\n".join(lines) if max(map(len, lines)) <= _LONGEST else None


def encoded_words(text: str, column: int = 0) -> str:
    """`text` as encoded words (RFC 2047), one a line; the first line begins at `column`."""
    data = text.encode()
    words = []
    start, room = 0, _room(column)
    while True:
        end = start + room
        if end >= len(data):
            words.append(_encoded_word(data[start:]))
            return "\r\n ".join(words)
        while data[end] & 0xC0 == 0x80:  # an encoded word holds whole characters
            end -= 1
        words.append(_encoded_word(data[start:end]))
        start, room = end, _room(1)


def _room(column: int) -> int:
    """Octets that fit in an encoded word at `column`: at least one character's."""
    return max((_ENCODED_WIDTH - _FRAME - column) // 4 * 3, 6)


def _encoded_word(data: bytes) -> str:
    return f"=?utf-8?b?{b2a_base64(data, newline=False).decode()}?="

"""Read a relay's replies from its bytes, however they are split.

RFC 5321, section 4.2; enhanced status codes by RFC 2034. A line may end in a bare LF. What is not a reply,
or says yes in one line and no in another, and what outgrows the bounds (4,096 octets a line, 200 lines a
reply), is a ProtocolViolation: memory is bounded whatever the relay sends.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

LONGEST_LINE = 4096
MOST_LINES = 200
MOST_WORDS = 1000
"""How much of a reply's text is kept, in octets."""

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*))?", re.DOTALL)


class ProtocolViolation(Exception):
    """The relay sent what no SMTP relay may send; its connection is of no use any more.

    `replies` are those that came whole before it, in the same piece of data: they hold.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.replies: list[Reply] = []


class Reply(NamedTuple):
    """One reply: `code` (200 to 599), `enhanced` ("5.1.1", or "" where there was none that fits the code),
    `text` (the relay's own words, lines joined by LF, at most MOST_WORDS octets)."""

    code: int
    enhanced: str
    text: bytes


class ReplyParser:
    """Bytes in, replies out; keeps the unfinished rest."""

    __slots__ = ("_earlier", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._earlier: list[Reply] = []

    @property
    def unfinished(self) -> bool:
        """Whether a reply has begun whose end has not come."""
        return bool(self._rest or self._earlier)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes, in order.

        Raises ProtocolViolation; no more can be read from this relay then.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        replies: list[Reply] = []
        try:
            for line in lines:
                self._take(line, replies)
            if len(self._rest) > LONGEST_LINE:
                raise ProtocolViolation(f"a reply line is longer than {LONGEST_LINE} octets")
        except ProtocolViolation as violation:
            violation.replies = replies
            raise
        return replies

    def _take(self, line: bytes, replies: list[Reply]) -> None:
        reply, is_last = _read(line)
        if not is_last:
            self._earlier.append(reply)
            if len(self._earlier) == MOST_LINES:
                raise ProtocolViolation(f"a reply has more than {MOST_LINES} lines")
        elif self._earlier:
            replies.append(_joined([*self._earlier, reply]))
            self._earlier.clear()
        else:
            replies.append(reply)


@lru_cache(maxsize=256)  # a relay says the same few things over and over: half the cost of the hot path
def _read(line: bytes) -> tuple[Reply, bool]:
    """One line without its LF, and whether it is a reply's last."""
    if len(line) > LONGEST_LINE:
        raise ProtocolViolation(f"a reply line is longer than {LONGEST_LINE} octets")
    found = _LINE.fullmatch(line.removesuffix(b"\r"))
    if found is None:
        raise ProtocolViolation("what the relay sent is not an SMTP reply")
    code, mark, enhanced, words = found.groups()
    # A class that contradicts the code's (550 4.7.1) says nothing to rely on.
    fitting = enhanced.decode() if enhanced is not None and enhanced[0] == code[0] else ""
    return Reply(int(code), fitting, (words or b"")[:MOST_WORDS]), mark != b"-"


def _joined(lines: list[Reply]) -> Reply:
    """The lines of one reply; where their codes differ, which they must not, the last one's hold."""
    last = lines[-1]
    if any(line.code // 100 != last.code // 100 for line in lines):
        raise ProtocolViolation("a reply's lines contradict one another")
    fitting = (line.enhanced for line in reversed(lines) if line.enhanced and line.code == last.code)
    return Reply(last.code, next(fitting, ""), b"\n".join(line.text for line in lines)[:MOST_WORDS])

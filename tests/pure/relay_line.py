"""A session on a line without sockets: what it writes is kept, what it hears is what a test says.

The owner on this end checks, at every step, what must hold whatever a relay says: `Line.check`.
"""

from __future__ import annotations

import asyncio
import re
from math import inf
from typing import NamedTuple

from batchmail.batch.outcomes import Follows, Stage, Verdict
from batchmail.relay.replies import LONGEST_LINE, MOST_LINES
from batchmail.relay.session import Envelope, Offers, Session

_COMMAND = re.compile(
    rb"(?:RSET|DATA|MAIL FROM:<[^\s<>]*>(?: SIZE=\d+)?(?: BODY=8BITMIME)?|RCPT TO:<[^\s<>]*>)\r\n"
)
_GO_AHEAD = re.compile(rb"(?:^|\n)3\d\d(?: [^\n]*)?\n\Z")
"""The last that was heard: a whole line that asks for the body, and nothing begun behind it."""
_NEVER_AFTER_THE_BODY = {Follows.PENDING}
_NEVER_BEFORE_THE_BODY = {Follows.SENT, Follows.IN_DOUBT}


class Heard(NamedTuple):
    """How a transaction ended. `begun`: the body had. `since`: what was heard since it began to leave."""

    recipient: str
    verdict: Verdict
    begun: bool
    since: bytes
    usable: bool


class Line(asyncio.Transport):
    """The transport of one session, and its owner: sends each body at once unless `holds`.

    `written`: all octets; `unsent` of them, at the end, have not left yet (a test's to say).
    """

    def __init__(self, offers: Offers, *, holds: bool = False) -> None:
        super().__init__()
        self.holds = holds
        self.written = bytearray()
        self.unsent = 0
        self.heard_since = bytearray()
        self.concluded_ones: list[Heard] = []
        self.begun = 0
        self.is_gone = False
        self.wants_body = False
        self.current = ""
        self._closing = False
        self._sent_just_now = False
        self._loop = asyncio.get_running_loop()
        self.session = Session(self, self, offers)

    # What the owner does

    def begin(self, recipient: str, data: bytes) -> None:
        """Offer a mail."""
        self.begun += 1
        self.current = recipient
        self.wants_body = False
        self.heard_since.clear()
        self.session.begin(Envelope("news@example.org", recipient, data, len(data), False))

    def send(self) -> None:
        """Send the body that is wanted."""
        self.wants_body = False
        self.heard_since.clear()
        self._sent_just_now = True
        self.session.send_body()

    def hear(self, data: bytes) -> None:
        """The relay says `data`, unless the line is cut already."""
        self._sent_just_now = False
        if not self._closing:
            self.heard_since += data
            self.session.data_received(data)
            self.check()

    def lose(self) -> None:
        """The relay hangs up."""
        if not self._closing:
            self._closing = True
            self.session.connection_lost(None)

    def check(self) -> None:
        """What must hold at every moment."""
        session, parser = self.session, self.session._parser
        under_way = self.begun - len(self.concluded_ones)
        assert under_way in {0, 1}
        assert not (session.usable and (self._closing or under_way))
        if not self._closing:
            assert len(parser._rest) <= LONGEST_LINE
            assert len(parser._earlier) < MOST_LINES
            assert session.usable is not bool(under_way)
            # Somebody has the move: the relay has a deadline, or the owner a body to send.
            if under_way:
                assert (session.deadline == inf) is self.wants_body
        else:
            assert self.is_gone or self.concluded_ones

    # What the session calls

    def body_wanted(self, session: Session) -> None:
        assert not self.wants_body
        assert not session.body_begun
        assert _GO_AHEAD.search(self.heard_since)
        self.wants_body = True
        if not self.holds:
            self.send()

    def concluded(self, session: Session, verdict: Verdict, words: bytes) -> None:
        assert self.begun == len(self.concluded_ones) + 1
        assert len(words) <= 1000
        begun = session.body_begun
        # What was said before the last of the body had left is no answer to it.
        assert verdict.follows is not Follows.SENT or not (self.unsent or self._sent_just_now)
        assert verdict.follows not in (_NEVER_AFTER_THE_BODY if begun else _NEVER_BEFORE_THE_BODY)
        assert (verdict.cause.stage in {Stage.BODY, Stage.DOT}) is begun
        self.wants_body = False
        ended = Heard(self.current, verdict, begun, bytes(self.heard_since), session.usable)
        self.concluded_ones.append(ended)

    def gone(self, session: Session) -> None:
        assert not self.is_gone
        assert self.begun == len(self.concluded_ones)
        self.is_gone = True

    # What a transport does

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._closing
        self.written += data

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.session.connection_lost, None)

    close = abort

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent


def commands(written: bytes, bodies: dict[str, bytes]) -> list[tuple[bytes, str]]:
    """`written` as (verb, recipient) in order: b"BODY" for a body, b"DOT" for a lone dot; a last body may be
    cut short. AssertionError for what is none of these, and for a body that is not its recipient's."""
    found: list[tuple[bytes, str]] = []
    at, recipient = 0, ""
    while at < len(written):
        if found and found[-1][0] == b"DATA":
            body = bodies[recipient]
            left = written[at : at + len(body)]
            if left == body or (at + len(left) == len(written) and body.startswith(left)):
                found.append((b"BODY", recipient))
                at += len(left)
                continue
            if written.startswith(b".\r\n", at):
                found.append((b"DOT", recipient))
                at += 3
                continue
        command = _COMMAND.match(written, at)
        assert command, bytes(written[at : at + 80])
        verb = command[0][:4].upper()
        if verb == b"RCPT":
            recipient = command[0][9:-3].decode()
        found.append((verb, recipient))
        at = command.end()
    return found

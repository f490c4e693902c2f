"""Drive one open SMTP connection: a state machine that takes one mail after another.

One session carries one transaction at a time:

    begin(envelope) ── MAIL, RCPT, DATA ──▶ body_wanted ── send_body() ──▶ body, final dot ──▶ concluded
                            └── refused, lost, too late ───────────────────────────────────────▶ concluded

MAIL, RCPT and DATA leave in one write where the relay offers PIPELINING (RFC 2920), one by one where not.
Every `begin` is answered by exactly one `concluded`, unless the owner calls `close` first. At every moment
the session knows whose move it is and which stage (RFC 5321) a silence or a loss would hit; what takes too
long is ended by the owner's sweep, not by a timer for each transaction.

It does not decide when a body may leave, and it never sends anything twice: both are its owner's.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from math import inf
from typing import NamedTuple, Protocol

from batchmail.batch.outcomes import Cause, Follows, Stage, Verdict
from batchmail.relay.replies import ProtocolViolation, Reply, ReplyParser
from batchmail.relay.stages import STAGES, Stages
from batchmail.relay.verdict import LOST, verdict

PIECE = 65_536
"""Octets of a body written at once; longer ones wait between pieces until the relay has taken some."""

_UNFIT = re.compile(r"[\x00-\x20\x7f<>]")
_SUCCESS = {Stage.RSET: 2, Stage.MAIL: 2, Stage.RCPT: 2, Stage.DATA: 3, Stage.DOT: 2}
_NEXT = {Stage.RSET: Stage.MAIL, Stage.MAIL: Stage.RCPT, Stage.RCPT: Stage.DATA}
_BAD_SEQUENCE = 503
"""RFC 5321, section 4.2.2. Behind a refusal it is only to be expected."""

_ENVELOPE_TAKEN = re.compile(rb"(?:2\d\d [^\r\n]{0,500}\r\n){2}3\d\d [^\r\n]{0,500}\r\n")
_MAIL_TAKEN = re.compile(rb"2\d\d [^\r\n]{0,500}\r\n")
_SENT = verdict(Stage.DOT, 250)

_TOO_LARGE = Verdict(Follows.REJECTED, Cause(Stage.MAIL, 552, "5.3.4"))
_NO_UTF8 = Verdict(Follows.REJECTED, Cause(Stage.MAIL, 553, "5.6.7"))


class Envelope(NamedTuple):
    """One mail for one recipient. `data`: CRLF, dot-stuffed, ends in CRLF.CRLF. `size`: octets for SIZE.
    `utf8`: whether addresses or header fields need SMTPUTF8 (RFC 6531)."""

    sender: str
    recipient: str
    data: bytes
    size: int
    utf8: bool


class Conversation(Protocol):
    """Who uses a session. Called from within the session, and may call it back at once."""

    def body_wanted(self, session: Session) -> None:
        """The relay has said 354; nothing of the body has left. Now, or later: `send_body` or `close`."""

    def concluded(self, session: Session, verdict: Verdict, words: bytes) -> None:
        """The transaction is over; `words` are the relay's. `session.usable`: it can take another."""

    def gone(self, session: Session) -> None:
        """The relay has closed an idle session."""


class Offers(NamedTuple):
    """What the relay's EHLO offered. `max_size`: octets, None where it names no limit (RFC 1870)."""

    pipelining: bool = False
    eight_bit: bool = False
    utf8: bool = False
    size: bool = False
    max_size: int | None = None


class Session(asyncio.Protocol):
    """One open connection to the relay.

    `usable`: open, and no transaction under way. `body_begun`: some of the body may have left. `deadline`:
    the event loop's time at which the relay's silence becomes a loss (infinite while the move is ours).
    `conversation` may be exchanged while the session is usable.
    """

    __slots__ = (
        "_awaited",
        "_body",
        "_closed",
        "_commands",
        "_envelope",
        "_loop",
        "_offers",
        "_parser",
        "_paused",
        "_refusal",
        "_stage",
        "_time_outs",
        "_transaction_open",
        "_transport",
        "_words",
        "body_begun",
        "conversation",
        "deadline",
        "usable",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        conversation: Conversation,
        offers: Offers,
        stages: Stages = STAGES,
    ) -> None:
        """Take over `transport`: greeting, EHLO, TLS and login are done. `set_protocol` is the caller's."""
        self.conversation = conversation
        self.usable = True
        self.body_begun = False
        self.deadline = inf
        self._transport = transport
        self._offers = offers
        self._loop = asyncio.get_running_loop()
        self._time_outs = {stage: facts.time_out.total_seconds() for stage, facts in stages.items()}
        self._parser = ReplyParser()
        self._closed = False
        self._paused = False
        self._transaction_open = False  # at the relay: the next MAIL needs an RSET before it
        self._stage = Stage.NONE
        self._envelope: Envelope | None = None
        self._commands: list[bytes] = []  # still to be written, where there is no PIPELINING
        self._body: memoryview | None = None  # still to be written, where it is long
        self._awaited = 0  # replies to what has been written
        self._refusal: Verdict | None = None  # known, while replies to later commands are still to come
        self._words = b""
        transport.set_write_buffer_limits(high=PIECE)

    @property
    def pipelining(self) -> bool:
        """Whether commands go together (RFC 2920)."""
        return self._offers.pipelining

    @property
    def eight_bit(self) -> bool:
        """Whether a body may hold octets above 127 (RFC 6152)."""
        return self._offers.eight_bit

    # What the owner says

    def begin(self, envelope: Envelope) -> None:
        """Offer `envelope` to the relay.

        What cannot succeed (too large, UTF-8 not offered) is concluded as rejected without asking the relay,
        soon, not within this call. Raises ValueError for an address that no envelope can carry, RuntimeError
        where the session is not usable; nothing has been sent then.
        """
        if not self.usable:
            raise RuntimeError("this session is closed, or has a transaction under way")
        mail = self._mail(envelope)
        rcpt = b"RCPT TO:%s\r\n" % _path(envelope.recipient, envelope.utf8)
        self.usable = False
        self.body_begun = False
        self._envelope = envelope
        self._refusal = self._foreseen(envelope)
        if self._refusal is not None:
            self._stage = Stage.MAIL
            self._loop.call_soon(self._conclude_foreseen)
            return
        commands = [mail, rcpt, b"DATA\r\n"]
        if self._transaction_open:
            commands.insert(0, b"RSET\r\n")
        self._await(Stage.RSET if self._transaction_open else Stage.MAIL)
        if self._offers.pipelining:
            self._awaited = len(commands)
            self._write(b"".join(commands))
        else:
            self._commands = commands
            self._write_next()

    def send_body(self) -> None:
        """Send the message, at once and whole; what is over PIECE octets waits its turn in pieces.

        If the connection is known to be lost already, nothing leaves, and the recipient stays pending.
        Raises RuntimeError unless the body is wanted.
        """
        if self._envelope is None or self._stage is not Stage.DATA or self._awaited:
            raise RuntimeError("no body is wanted on this session")
        if self._transport.is_closing():
            self._await(Stage.DATA)
            return
        data = self._envelope.data
        self.body_begun = True
        self._awaited = 1
        if len(data) <= PIECE:
            self._await(Stage.DOT)
            self._write(data)
        else:
            self._body = memoryview(data)
            self._await(Stage.BODY)
            self._send_pieces()

    def check_time(self, now: float) -> None:
        """End what the relay has left unanswered past its deadline: as a loss at that stage."""
        if now >= self.deadline:
            self._lose()

    def close(self) -> None:
        """Cut the connection at once; nothing more is called back, not even for a transaction under way.

        A transaction whose final dot was not written delivers nothing (RFC 5321, section 4.1.1.4); what
        became of one whose body had begun is the owner's to know.
        """
        self._cut()
        self._forget()

    def quit(self) -> None:
        """Take leave of the relay (QUIT), without waiting for its answer; nothing more is called back."""
        if self.usable and not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._closed, self.usable = True, False
            self._transport.close()
        else:
            self.close()

    # What the relay says

    def data_received(self, data: bytes) -> None:
        if self._closed or self._all_is_well(data):
            return
        broken = False
        try:
            replies = self._parser.feed(data)
        except ProtocolViolation as violation:
            replies, broken = violation.replies, True
        awaited = self._awaited
        if awaited == 0:
            self._lose()
        elif len(replies) > awaited or (len(replies) == awaited and (broken or self._parser.unfinished)):
            self._answer_last(replies[:awaited])
        else:
            for reply in replies:
                self._answer(reply)
            if broken:
                self._lose()

    def _all_is_well(self, data: bytes) -> bool:
        """Take the two answers that nearly every mail gets, whole; says whether `data` was one of them."""
        if self._parser.unfinished or self._refusal is not None:
            return False
        if self._awaited == 3 and self._stage is Stage.MAIL and _ENVELOPE_TAKEN.fullmatch(data):
            self._awaited, self._stage, self._transaction_open = 0, Stage.DATA, True
            self._be_given_the_body()
            return True
        if (
            self._awaited == 1
            and self._stage is Stage.DOT
            and _MAIL_TAKEN.fullmatch(data)
            and not self._transport.get_write_buffer_size()
        ):
            self._transaction_open = False
            self._conclude(_SENT, data[4:-2])
            return True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._lose()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._body is not None:
            self._send_pieces()

    # The machine

    def _answer(self, reply: Reply) -> None:
        """The reply to the oldest unanswered command."""
        if self._envelope is None:  # the owner, or a 421 before this reply, has ended the transaction
            return
        self._awaited -= 1
        if self._stage is Stage.DOT and self._transport.get_write_buffer_size():
            self._stage = Stage.BODY  # the final dot has not left yet: whatever this answers, it is not that
        if reply.code // 100 == _SUCCESS.get(self._stage):
            self._succeed(reply)
        else:
            self._refuse(reply)

    def _answer_last(self, replies: list[Reply]) -> None:
        """The replies asked for, from a relay that has said more than that.

        They hold; but it cannot be followed further: what else it says would be taken for the answer to
        something not sent yet.
        """
        for reply in replies[:-1]:
            self._answer(reply)
        if not self._closed:
            self._cut()
            self._answer(replies[-1])

    def _succeed(self, reply: Reply) -> None:
        stage = self._stage
        if self._refusal is not None:
            self._succeed_in_vain(self._refusal)
        elif stage is Stage.DOT:
            self._transaction_open = False
            self._conclude(verdict(stage, reply.code, reply.enhanced), reply.text)
        elif self._closed:
            self._conclude(verdict(stage, LOST), reply.text)
        elif stage is Stage.DATA:
            self._be_given_the_body()
        else:
            if stage is not Stage.RCPT:
                self._transaction_open = stage is Stage.MAIL
            self._go_on()

    def _be_given_the_body(self) -> None:
        """354: the move is ours."""
        self.deadline = inf
        self.conversation.body_wanted(self)

    def _succeed_in_vain(self, refusal: Verdict) -> None:
        """A yes behind a refusal.

        Only a 354 behind a refused RCPT can be meant so: a lone dot then ends a mail that reaches nobody (RFC
        2920, section 3.1). At any other the relay is out of step, or would deliver an empty mail.
        """
        if self._stage is Stage.DATA and refusal.cause.stage is Stage.RCPT and not self._closed:
            self._await(Stage.DOT)
            self._awaited = 1
            self._write(b".\r\n")
        else:
            self._cut()
            self._conclude(refusal, self._words)

    def _refuse(self, reply: Reply) -> None:
        stage = self._stage
        self._transaction_open = True  # also after a refused MAIL: RSET finds a relay that is out of step
        if self._refusal is None:
            self._refusal = verdict(stage, reply.code, reply.enhanced)
            self._words = reply.text
            if reply.code == _BAD_SEQUENCE:
                self._cut()
        if reply.code < 400 or reply.code == 421 or stage is Stage.RSET or stage is Stage.BODY:
            self._cut()
        if self._closed or stage not in _NEXT or not self._offers.pipelining:
            self._conclude(self._refusal, self._words)
        else:  # the commands behind the refused one have left already: their replies are still to come
            self._go_on()

    def _lose(self) -> None:
        """The relay is gone, or no longer to be understood."""
        if self._closed:
            return
        self._cut()
        if self._envelope is None:
            self.conversation.gone(self)
        else:
            self._conclude(self._refusal or verdict(self._stage, LOST), self._words)

    def _conclude(self, verdict: Verdict, words: bytes) -> None:
        self._forget()
        self.usable = not self._closed
        self.conversation.concluded(self, verdict, words)

    def _conclude_foreseen(self) -> None:
        if self._refusal is not None and not self._closed:
            self._conclude(self._refusal, b"")

    def _forget(self) -> None:
        """No transaction is under way."""
        self.deadline = inf
        self._stage = Stage.NONE
        self._awaited = 0
        self._envelope = None
        self._commands = []
        self._body = None
        self._refusal = None
        self._words = b""

    def _cut(self) -> None:
        self._closed, self.usable = True, False
        self._transport.abort()

    def _await(self, stage: Stage) -> None:
        self._stage = stage
        self.deadline = self._loop.time() + self._time_outs[stage]

    def _go_on(self) -> None:
        self._await(_NEXT[self._stage])
        if self._commands:
            self._write_next()

    def _write_next(self) -> None:
        self._awaited = 1
        self._write(self._commands.pop(0))

    def _write(self, data: bytes | memoryview) -> None:
        # A transport that is closing swallows this, or raises (uvloop); `connection_lost` is on its way then.
        if not self._transport.is_closing():
            self._transport.write(data)

    def _send_pieces(self) -> None:
        while self._body is not None and not self._paused and not self._transport.is_closing():
            piece, rest = self._body[:PIECE], self._body[PIECE:]
            self._body = rest if len(rest) else None
            self._await(Stage.BODY if len(rest) else Stage.DOT)
            self._write(piece)

    # What the owner's envelope becomes

    def _foreseen(self, envelope: Envelope) -> Verdict | None:
        offers = self._offers
        if envelope.utf8 and not offers.utf8:
            return _NO_UTF8
        if offers.max_size is not None and envelope.size > offers.max_size:
            return _TOO_LARGE
        return None

    def _mail(self, envelope: Envelope) -> bytes:
        offers = self._offers
        line = b"MAIL FROM:" + _reverse_path(envelope.sender, envelope.utf8)
        if offers.size:
            line += b" SIZE=%d" % envelope.size
        if offers.eight_bit:
            line += b" BODY=8BITMIME"
        if envelope.utf8:
            line += b" SMTPUTF8"
        return line + b"\r\n"


@lru_cache(maxsize=64)
def _reverse_path(address: str, utf8: bool) -> bytes:
    """A batch has one sender."""
    return _path(address, utf8)


def _path(address: str, utf8: bool) -> bytes:
    if _UNFIT.search(address):
        raise ValueError("an envelope address holds a control character, a space, '<' or '>'")
    try:
        return b"<%s>" % address.encode("utf-8" if utf8 else "ascii")
    except UnicodeEncodeError:
        raise ValueError("an envelope address is not ASCII, and the envelope does not say utf8") from None

"""Whatever a relay says, and however its bytes arrive: a verdict or a lost connection, and nothing else."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.outcomes import Cause, Follows, Stage
from batchmail.relay.session import PIECE, Envelope, Offers
from tests.pure.relay_line import Line, commands

BODY = b"Subject: Hello\r\n\r\nHello %s.\r\n.\r\n"

_YES = rb"(?:2\d\d-[^\n]*\n)*2\d\d(?: [^\n]*)?\r?\n"
SENT_BY = re.compile(_YES)
"""What must begin the relay's words after the body: whole lines, all of a success."""

WORDS = st.sampled_from(
    [
        b"",
        b"Ok",
        b"2.1.0 Ok",
        b"2.0.0 Ok: queued as 4XyZ",
        b"5.1.1 <ann@example.com>: unknown",
        b"4.7.1 Slow down",
        b"\0\0\0",
        b"\xff\xfe\xfd",
        b"Ok\rRCPT TO:<eve@example.com>",
        b"\x1b[2J",
        b"x" * 999,
        b"x" * 5_000,
    ]
)
CODES = st.one_of(
    st.sampled_from([b"250", b"354", b"421", b"450", b"451", b"452", b"503", b"550", b"552", b"554", b"235"]),
    st.integers(0, 999).map(lambda code: b"%03d" % code),
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b""])
LINES = st.builds(
    lambda code, mark, words, end: code + mark + words + end,
    CODES,
    st.sampled_from([b" ", b" ", b"-", b"", b"\t"]),
    WORDS,
    ENDS,
)
MANY = st.builds(
    lambda line, times: line * times,
    st.sampled_from([b"250-more\r\n", b"250 Ok\r\n", b"550-5.1.1 no\r\n", b"\r\n", b"\0", b"x", b"2", b"-"]),
    st.integers(2, 5_000),
)
SAID = st.one_of(LINES, LINES, st.lists(LINES, max_size=6).map(b"".join), MANY, st.binary(max_size=60))
"""Well-formed replies, ill-formed ones, far too many of them, and noise."""

USUAL = {b"RSET": b"250 2.0.0 Ok\r\n", b"MAIL": b"250 2.1.0 Ok\r\n", b"RCPT": b"250 2.1.5 Ok\r\n"} | {
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"BODY": b"250 2.0.0 Ok: queued\r\n",
    b"DOT": b"554 5.5.1 No valid recipients\r\n",
}

STEPS = st.one_of(
    st.sampled_from(["usual"] * 12 + ["begin", "begin", "send", "stopped", "taken", "turn", "late", "lost"]),
    st.sampled_from(["usual", "begin"]),
    SAID,
    SAID.map(lambda said: ("usual", said)),  # in one piece
    st.one_of(LINES, st.binary(max_size=60)).map(lambda said: (said,)),  # octet by octet
)
OFFERS = st.builds(
    Offers,
    pipelining=st.booleans(),
    eight_bit=st.booleans(),
    utf8=st.just(False),
    size=st.booleans(),
    max_size=st.none(),
)


class Relay:
    """A line whose relay can also answer as usual what has been written so far."""

    def __init__(self, offers: Offers, *, holds: bool) -> None:
        self.line = Line(offers, holds=holds)
        self.bodies: dict[str, bytes] = {}
        self._answered = 0

    def begin(self, length: int = 0) -> None:
        recipient = f"reader{len(self.bodies)}@example.com"
        self.bodies[recipient] = b"x" * length + BODY % recipient.encode()
        self.line.begin(recipient, self.bodies[recipient])

    def usual(self) -> bytes:
        """The replies to whatever has not been answered in this way yet."""
        written = commands(bytes(self.line.written), self.bodies)
        said = b"".join(USUAL[verb] for verb, _ in written[self._answered :])
        self._answered = len(written)
        return said

    async def do(self, step: Any) -> None:
        line, session = self.line, self.line.session
        match step:
            case "usual":
                line.hear(self.usual())
            case "begin":
                if session.usable:
                    self.begin()
            case "send":
                if line.wants_body:
                    line.send()
            case "late":
                session.check_time(session.deadline)
            case "lost":
                line.lose()
            case "stopped":
                line.unsent = 1
                session.pause_writing()
            case "taken":
                line.unsent = 0
                session.resume_writing()
            case "turn":
                await asyncio.sleep(0)
            case ("usual", said):
                line.hear(self.usual() + said)
            case (said,):
                for octet in said:
                    line.hear(bytes([octet]))
            case said:
                line.hear(said)


@pytest.mark.fuzz
@given(OFFERS, st.booleans(), st.lists(STEPS, max_size=25), st.sampled_from([0, 0, 3 * PIECE]))
async def test_whatever_a_relay_says_ends_in_a_verdict_or_a_lost_connection(
    offers: Offers, holds: bool, steps: list[Any], length: int
) -> None:
    relay = Relay(offers, holds=holds)
    line = relay.line
    relay.begin(length)
    for step in steps:
        await relay.do(step)
        line.check()
    # Silence from now on: whoever has the move makes it, and the transaction ends.
    if line.wants_body:
        line.session.resume_writing()
        line.send()
    line.session.check_time(line.session.deadline if line.session.deadline < inf else 0.0)
    await asyncio.sleep(0)
    line.check()
    assert len(line.concluded_ones) == line.begun
    written = commands(bytes(line.written), relay.bodies)
    bodies = [recipient for verb, recipient in written if verb == b"BODY"]
    assert len(bodies) == len(set(bodies))
    for ended in line.concluded_ones:
        assert ended.begun or ended.recipient not in bodies
        if ended.verdict.follows is Follows.SENT:
            assert SENT_BY.match(ended.since)
            assert line.written.count(relay.bodies[ended.recipient]) == 1


TAKEN = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go ahead\r\n"


async def begun(length: int, *, stopped: bool = False) -> Relay:
    """A relay that has taken the envelope of a mail; the body has been sent, as far as it may be."""
    relay = Relay(Offers(pipelining=True), holds=True)
    relay.begin(length)
    relay.line.hear(TAKEN)
    if stopped:
        relay.line.session.pause_writing()
    relay.line.send()
    return relay


@pytest.mark.parametrize("words", [b"250 2.0.0 Ok\r\n", b"250-2.0.0\r\n250 Ok\r\n"])
async def test_a_success_before_the_final_dot_has_left_leaves_the_recipient_in_doubt(words: bytes) -> None:
    relay = await begun(0)
    relay.line.unsent = 1
    relay.line.hear(words)
    (ended,) = relay.line.concluded_ones
    assert ended.verdict.follows is Follows.IN_DOUBT
    assert relay.line.is_closing()


async def test_a_refusal_before_the_final_dot_has_left_holds_and_ends_the_connection() -> None:
    relay = await begun(0)
    relay.line.unsent = 1
    relay.line.hear(b"552 5.3.4 Too large\r\n")
    (ended,) = relay.line.concluded_ones
    assert ended.verdict.follows is Follows.REJECTED
    assert not ended.usable


async def test_a_body_whose_pieces_must_wait_has_its_time_too() -> None:
    relay = await begun(3 * PIECE, stopped=True)
    assert relay.line.session.deadline < inf
    relay.line.session.check_time(relay.line.session.deadline)
    (ended,) = relay.line.concluded_ones
    assert ended.verdict.follows is Follows.IN_DOUBT


async def test_a_354_behind_a_refused_sender_and_recipient_is_met_by_leaving() -> None:
    relay = Relay(Offers(pipelining=True), holds=False)
    relay.begin()
    relay.line.hear(b"451 4.3.0 Not now\r\n503 5.5.1 MAIL first\r\n354 Go ahead\r\n")
    (ended,) = relay.line.concluded_ones
    assert ended.verdict == (Follows.RELAY_FAULT, Cause(Stage.MAIL, 451, "4.3.0"))
    assert relay.line.is_closing()
    assert not relay.line.written.endswith(b".\r\n")


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_503_that_comes_first_ends_the_connection(stage: str, pipelining: bool) -> None:
    relay = Relay(Offers(pipelining=pipelining), holds=False)
    relay.begin()
    for reply in TAKEN.splitlines(keepends=True)[: ["MAIL", "RCPT", "DATA"].index(stage)]:
        relay.line.hear(reply)
    relay.line.hear(b"503 5.5.1 Bad sequence of commands\r\n")
    (ended,) = relay.line.concluded_ones
    assert ended.verdict.follows is (Follows.RELAY_FAULT if stage == "MAIL" else Follows.PENDING)
    assert relay.line.is_closing()


ENDLESS = [
    b"x",
    b"\0",
    b"2",
    b"250-more\r\n",
    b"250-" + b"x" * 3_000 + b"\r\n",
    b"250 Ok\r\n",
    b"\r\n",
    b"250\xff",
]


@pytest.mark.parametrize("body", [False, True], ids=["envelope", "body"])
@pytest.mark.parametrize("said", ENDLESS, ids=repr)
async def test_ten_megabytes_without_an_end_take_no_memory(said: bytes, body: bool) -> None:
    chunk = (said * (65_536 // len(said) + 1))[:65_536]
    relay = await begun(0) if body else Relay(Offers(pipelining=True), holds=True)
    if not body:
        relay.begin()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(160):
            relay.line.hear(chunk)
            relay.line.session.data_received(chunk)  # what was on its way when the session hung up
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert relay.line.is_closing()
    assert len(relay.line.concluded_ones) == 1
    assert peak < 2_000_000


ADDRESSES = st.text(st.characters(min_codepoint=0, max_codepoint=0x2FF), max_size=30)


@pytest.mark.fuzz
@given(
    st.one_of(ADDRESSES, st.builds(str.__add__, ADDRESSES, st.just("@example.com"))), st.booleans(), OFFERS
)
async def test_no_address_says_anything_but_its_own_name(address: str, utf8: bool, offers: Offers) -> None:
    line = Line(offers._replace(utf8=utf8))
    for sender, recipient in [("news@example.org", address), (address, "ann@example.com")]:
        try:
            line.session.begin(Envelope(sender, recipient, b".\r\n", 3, utf8))
        except ValueError:
            assert not line.written
            assert line.session.usable
            continue
        said = bytes(line.written)
        assert (
            said.count(b"\r\n") == said.count(b"\n") == said.count(b"\r") == (3 if offers.pipelining else 1)
        )
        first, *others = said.split(b"\r\n")
        assert re.fullmatch(rb"MAIL FROM:<[^\x00-\x20\x7f<>]*>[A-Z0-9= ]*", first)
        if others[0]:
            assert others == [b"RCPT TO:<%s>" % recipient.encode(), b"DATA", b""]
        return

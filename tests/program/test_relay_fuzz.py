"""Real connections to relays that say anything at all: a session, a mail's verdict, or one clear sentence."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.outcomes import Follows
from batchmail.errors import RelayFaultError
from batchmail.relay.connect import open_session
from batchmail.relay.faults import UnusableRelayError
from batchmail.relay.session import Session
from batchmail.relay.stages import STAGES, Stages
from batchmail.settings import Relay, Tls
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import StartRelay
from tests.relays.talk import Talk, envelope, relay_of, session_with

SECONDS = 0.05
HURRIED: Stages = {
    stage: facts._replace(time_out=timedelta(seconds=SECONDS)) for stage, facts in STAGES.items()
}
"""Silence is given up at once."""

USUAL = [
    b"220 relay.example ESMTP\r\n",
    b"250-relay.example\r\n250-PIPELINING\r\n250 AUTH CRAM-MD5 PLAIN\r\n",
    b"334 PDFAcmVsYXkuZXhhbXBsZT4=\r\n",
    b"235 2.7.0 Welcome\r\n",
    b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go ahead\r\n",
    b"250 2.0.0 Ok\r\n",
]
"""A login by CRAM-MD5 and one mail."""

ODD = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"250-\r\n" * 3_000,
            b"x" * 20_000,
            b"334 not base64!\r\n",
            b"334 \xff\xfe\r\n",
            b"334 \r\n",
            b"250-AUTH \xff\r\n250 SIZE 99999999999999999999999999\r\n",
            b"250-SIZE -5\r\n250-AUTH=LOGIN\r\n250 AUTH\r\n",
            b"\0\0\0\r\n",
            b"999 what\r\n",
            b"-12 what\r\n",
            b"2_5 what\r\n",
            b"25\r\n",
            b"\r\n",
            b"421 4.3.2 Closing\r\n",
            b"535 5.7.8 <ann@example.com>: no\r\n",
            "２５０ Ok\r\n".encode(),
        ]
    ),
    st.builds(
        lambda code, mark, words: b"%03d%s%s\r\n" % (code, mark, words),
        st.integers(0, 999),
        st.sampled_from([b" ", b"-", b""]),
        st.binary(max_size=20),
    ),
)


@asynccontextmanager
async def relay_saying(replies: list[bytes]) -> AsyncIterator[Relay]:
    """A relay that says the first of `replies`, and each other when it has heard something; then hangs up."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for reply in replies:
                writer.write(reply)
                await writer.drain()
                if not await reader.read(1 << 16):
                    break
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield Relay(host="127.0.0.1", port=port, tls=Tls.NONE, username="news", password="secret")
    finally:
        server.close()


@pytest.mark.fuzz
@given(st.integers(0, len(USUAL) - 1), ODD, st.booleans())
async def test_whatever_a_relay_says_while_opening_ends_in_one_sentence(
    place: int, odd: bytes, besides: bool
) -> None:
    replies = list(USUAL)
    replies[place] = replies[place] + odd if besides else odd
    talk = Talk()
    async with relay_saying(replies) as relay:
        try:
            session = await open_session(relay, talk, HURRIED)
        except UnusableRelayError as fault:
            told = str(fault)
            assert not any(word in told for word in ("\n", "secret", "ann@example.com"))
            return
        sweep = asyncio.create_task(swept(session))
        try:
            session.begin(envelope())
            verdict = await talk.verdict()
        except RuntimeError:  # it has gone before it could begin
            assert talk.calls == ["gone"]
        else:
            assert (verdict.follows in {Follows.SENT, Follows.IN_DOUBT}) <= session.body_begun
        finally:
            sweep.cancel()
            session.close()


async def swept(session: Session) -> None:
    """What a session's owner does, more often."""
    while True:
        session.check_time(asyncio.get_running_loop().time())
        await asyncio.sleep(SECONDS / 10)


def memory() -> int:
    """This process's largest so far, in octets."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if os.uname().sysname == "Linux" else 1)


BABBLE = ["x", "250-more\r\n", "250 Ok\r\n", "\0"]


@pytest.mark.parametrize("reply", BABBLE, ids=repr)
@pytest.mark.parametrize("stage", ["greeting", "ehlo", "auth"])
async def test_a_relay_that_babbles_while_opening_is_left(
    start_relay: StartRelay, stage: Any, reply: str
) -> None:
    babble = Fault(stage=stage, do="babble", reply=reply)
    relay = start_relay(Behaviour(faults=(babble,), login=("news", "secret")))
    before = memory()
    async with asyncio.timeout(60):
        with pytest.raises(RelayFaultError):
            await open_session(relay_of(relay, username="news", password="secret"), Talk(), STAGES)
    await relay.wait_for(lambda event: event.event == "closed")
    assert memory() - before < 20_000_000


@pytest.mark.parametrize("reply", BABBLE, ids=repr)
@pytest.mark.parametrize(
    ("stage", "follows"),
    [
        ("mail", {Follows.PENDING}),
        ("rcpt", {Follows.PENDING}),
        ("data", {Follows.PENDING}),
        ("dot", {Follows.IN_DOUBT, Follows.SENT}),
        ("recorded", {Follows.IN_DOUBT, Follows.SENT}),
    ],
)
async def test_a_relay_that_babbles_in_a_mail_is_left(
    start_relay: StartRelay, stage: Any, follows: set[Follows], reply: str
) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage=stage, do="babble", reply=reply),)))
    talk = Talk()
    before = memory()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session)
        assert verdict.follows in follows
        assert (verdict.follows is Follows.SENT) <= (reply == "250 Ok\r\n")
        assert not session.usable
    await relay.wait_for(lambda event: event.event == "closed")
    assert memory() - before < 20_000_000

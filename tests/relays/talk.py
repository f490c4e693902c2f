"""Talk to a relay as a slice would, one session at a time, and wait for what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from batchmail.batch.outcomes import Verdict
from batchmail.relay.connect import open_session
from batchmail.relay.session import Envelope, Session
from batchmail.relay.stages import STAGES, Stages
from batchmail.settings import Relay, Tls
from tests.relays.process import RelayProcess

PATIENCE = 10.0


def relay_of(process: RelayProcess, tls: Tls = Tls.NONE, host: str = "127.0.0.1", **login: Any) -> Relay:
    """The setting that leads to `process`."""
    return Relay(host=host, port=process.port, tls=tls, **login)


def envelope(recipient: str = "ann@example.com", *, body: bytes = b"Hello.\r\n", **other: Any) -> Envelope:
    """A small mail, unless told otherwise."""
    data = b"Message-ID: <%s>\r\n\r\n%s.\r\n" % (recipient.encode(), body)
    return Envelope(
        sender=other.get("sender", "news@example.org"),
        recipient=recipient,
        data=data,
        size=other.get("size", len(data)),
        utf8=other.get("utf8", False),
    )


class Talk:
    """The owner of one session: sends each body at once unless `holds_bodies`."""

    def __init__(self, *, holds_bodies: bool = False) -> None:
        self.holds_bodies = holds_bodies
        self.calls: list[str] = []
        self.words = b""
        self.wanted = asyncio.Event()
        self.is_gone = asyncio.Event()
        self._verdicts: asyncio.Queue[Verdict] = asyncio.Queue()
        self._usable = False

    def body_wanted(self, session: Session) -> None:
        self.calls.append("body_wanted")
        assert not session.body_begun
        self.wanted.set()
        if not self.holds_bodies:
            session.send_body()

    def concluded(self, session: Session, verdict: Verdict, words: bytes) -> None:
        self.calls.append("concluded")
        self.words = words
        self._verdicts.put_nowait(verdict)

    def gone(self, session: Session) -> None:
        self.calls.append("gone")
        self.is_gone.set()

    async def verdict(self) -> Verdict:
        """The next conclusion."""
        async with asyncio.timeout(PATIENCE):
            return await self._verdicts.get()

    async def mail(self, session: Session, recipient: str = "ann@example.com", **other: Any) -> Verdict:
        """One mail from beginning to end."""
        session.begin(envelope(recipient, **other))
        return await self.verdict()

    async def until_gone(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.is_gone.wait()

    async def until_wanted(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.wanted.wait()


@asynccontextmanager
async def session_with(
    process: RelayProcess, talk: Talk, *, stages: Stages = STAGES, tls: Tls = Tls.NONE, **login: Any
) -> AsyncIterator[Session]:
    """An open session that is closed in the end."""
    session = await open_session(relay_of(process, tls, **login), talk, stages)
    try:
        yield session
    finally:
        session.close()

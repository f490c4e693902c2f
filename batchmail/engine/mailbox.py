"""A local mailbox for trying things out: a relay on this machine that keeps every mail in a Maildir.

It delivers nothing anywhere. A mail is acknowledged once its file is in place: it survives our own death,
not the machine's (no fsync: this is for trying out). See https://cr.yp.to/proto/maildir.html.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from batchmail.engine.ports import LOOPBACK
from batchmail.errors import EngineError

_LARGEST = 64 * 1024 * 1024  # bytes a mail may have, offered as SIZE


@asynccontextmanager
async def mailbox(folder: Path) -> AsyncIterator[int]:
    """Serve a mailbox in the running loop while the context lasts; gives its port on 127.0.0.1.

    Offers SIZE, 8BITMIME and SMTPUTF8; no login, no TLS. Raises EngineError when `folder` cannot be used.
    """
    maildir = _Maildir(folder.expanduser())
    loop = asyncio.get_running_loop()
    sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()

    def session() -> SMTP:
        made = SMTP(
            maildir,
            data_size_limit=_LARGEST,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="batchmail local mailbox",
            loop=loop,
        )
        sessions.add(made)
        return made

    server = await loop.create_server(session, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in sessions:
            if each.transport is not None:
                each.transport.close()
        await server.wait_closed()


class _Maildir:
    """aiosmtpd's handler: one file a mail, in `new`, readable by its owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host = socket.gethostname().replace("/", "_").replace(":", "_")
        self._count = itertools.count()
        try:
            for name in (".", "tmp", "new", "cur"):
                (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"The mailbox {folder} cannot be used: {error.strerror}.") from None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store the mail, then acknowledge it."""
        try:
            self._store(envelope)
        except OSError as error:
            return f"452 4.3.1 The mailbox cannot store this mail: {error.strerror}"
        return "250 2.0.0 Stored"

    def _store(self, envelope: Envelope) -> None:
        name = f"{time.time_ns()}.P{os.getpid()}Q{next(self._count)}.{self._host}"
        draft = self._folder / "tmp" / name
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_trace(envelope) + bytes(envelope.original_content or b"").replace(b"\r\n", b"\n"))
        draft.rename(self._folder / "new" / name)


def _trace(envelope: Envelope) -> bytes:
    """The envelope as the headers a final delivery adds (RFC 5321 4.4), with a file's line ends."""
    lines = [f"Return-Path: <{envelope.mail_from or ''}>"]
    lines += [f"Delivered-To: {recipient}" for recipient in envelope.rcpt_tos]
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")

"""What a relay of the tests hears and says, octet by octet if it must."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from typing import NoReturn, Protocol

from tests.relays.behaviour import Behaviour

_ONE_LINE = re.compile(rb"(\d{3}) ([^\r\n]*)")
_CHUNK = 1 << 16


class Behaving(Protocol):
    """Who says how to speak, now."""

    behaviour: Behaviour


class Wire:
    """One connection's two directions."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behaving: Behaving
    ) -> None:
        self._reader, self._writer, self._behaving = reader, writer, behaving
        self._unsaid = b""

    async def line(self) -> bytes:
        """The next line, without its end. What is still to be said leaves first, unless more has come."""
        if not self._reader._buffer:  # type: ignore[attr-defined]  # more commands are here: answer together
            await self.flush()
        return (await self.raw_line()).rstrip(b"\r\n")

    async def raw_line(self) -> bytes:
        """The next line as it came."""
        return await self._reader.readuntil(b"\n")

    async def until_left(self) -> None:
        """Hear the other side out, until it leaves."""
        while await self._reader.read(_CHUNK):
            pass

    def say(self, text: str) -> None:
        """Leaves with the next flush: a pipelined group is answered in one packet, as Postfix does."""
        said = _octets(text)
        one = _ONE_LINE.fullmatch(said)
        if one:
            said = b"%s-%s\r\n" % one.groups() * (self._behaving.behaviour.lines - 1) + said
        self._unsaid += said + b"\r\n"

    async def flush(self) -> None:
        """Let go what has been said."""
        said, self._unsaid = self._unsaid, b""
        behave = self._behaving.behaviour
        if not behave.byte_by_byte:
            self._writer.write(said)
        else:
            for octet in said:
                self._writer.write(bytes([octet]))
                await asyncio.sleep(behave.between_octets)
        await self._writer.drain()

    async def babble(self, text: str) -> NoReturn:
        """Say `text` over and over, as it stands; OSError once the other side has left."""
        said = _octets(text)
        said *= _CHUNK // len(said) + 1
        while True:
            self._writer.write(said)
            await self._writer.drain()
            if self._writer.is_closing():
                raise ConnectionResetError

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """From now on in secret."""
        await self._writer.start_tls(context)

    async def end(self, *, cut: bool) -> None:
        """Close, after the last word unless `cut`."""
        with suppress(OSError, ssl.SSLError):
            if cut:
                self._writer.transport.abort()
            else:
                await self.flush()
                self._writer.close()
                await self._writer.wait_closed()


def _octets(text: str) -> bytes:
    return text.encode(errors="surrogateescape")

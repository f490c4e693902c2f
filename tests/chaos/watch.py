"""Follow the relay's files while it writes them: how many it has accepted, and what else is on its way.

Lines are counted, not read: the machine has other things to do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

_A_LOOK = 0.02
_CONNECTED, _CLOSED = b'"event": "connected"', b'"event": "closed"'


class Watch:
    """The record and the events of a relay, across its deaths. `sign`: what shows in the events that the
    admins' mail is on its way."""

    def __init__(self, record: Path, events: Path, sign: str) -> None:
        self._record, self._events = _Tail(record), _Tail(events)
        self._sign = sign.encode()
        self.accepted = 0
        self._connections = 0
        self._notices = 0

    async def reached(self, after: int | None) -> None:
        """Until so many are accepted; None: until the notice is on its way."""
        while not self._has(after):  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(_A_LOOK)

    async def idle(self) -> None:
        """Until the relay has no connection."""
        self._look()
        while self._connections:
            await asyncio.sleep(_A_LOOK)
            self._look()

    def forget_connections(self) -> None:
        """The relay was killed: its connections are gone, and it says no more of them."""
        self._look()
        self._connections = 0

    def _has(self, after: int | None) -> bool:
        if after is None:
            self._look()
            return self._notices > 0
        self.accepted += self._record.lines().count(b"\n")
        return self.accepted >= after

    def _look(self) -> None:
        new = self._events.lines()
        self._connections += new.count(_CONNECTED) - new.count(_CLOSED)
        self._notices += new.count(self._sign)


class _Tail:
    """A file that grows by lines."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0

    def lines(self) -> bytes:
        """The whole lines that have come since."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole

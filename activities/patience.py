"""Wait for the store: out of reach is no reason to end an attempt, which goes on heartbeating."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from batchmail.batch.progress import Waiting
from batchmail.batch.retry import growing_delays
from batchmail.errors import InputError, StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Patience:
    """Does things again until they succeed; `go_on` raises when the attempt is over meanwhile.

    `faults`: how often something failed.
    """

    def __init__(self, go_on: Callable[[], None]) -> None:
        self.waiting: Waiting | None = None
        self.faults = 0
        self._go_on = go_on
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Wait no longer: whoever waits looks at once whether the attempt goes on."""
        self._ended.set()

    async def until_done(self, do: Callable[[], Awaitable[T]]) -> T:
        """The result of `do`, after as many tries as it needs; what cannot be read is tried again, too."""
        delays = growing_delays()
        while True:
            try:
                found = await do()
            except (StoreError, InputError) as error:
                self.faults += 1
                what = error.in_short if isinstance(error, StoreError) else str(error)
                since = self.waiting.since if self.waiting else datetime.now(UTC)
                self.waiting = Waiting(what=what, since=since)
                log.warning("waiting: %s", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(next(delays)):
                        await self._ended.wait()
                self._go_on()
            else:
                self.waiting = None
                return found

"""What a running slice asks its batch, and tells it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from pydantic import ValidationError
from temporalio import activity
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from batchmail.batch.progress import Control, Waiting

log = logging.getLogger(__name__)

ASKED_EVERY = 1.0
"""Seconds between two questions to the batch."""

_PATIENCE = timedelta(seconds=10)
_TOLD_AT_MOST_EVERY = 30.0


class Dialogue:
    """One attempt's talk with its batch, which knows the slice as `key`. `heed` is given every answer."""

    def __init__(self, client: Client, key: str, heed: Callable[[Control], None]) -> None:
        info = activity.info()
        self._batch = client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        self._key = key
        self._heed = heed

    async def ask(self) -> None:
        """Ask again and again what the batch wants; until cancelled. No answer is no answer: ask again."""
        last: Control | None = None
        while True:
            with suppress(RPCError, WorkflowQueryFailedError, ValidationError):
                last = await self._batch.query(
                    "control", self._key, result_type=Control, rpc_timeout=_PATIENCE
                )
                self._heed(last)
            # A slice that waits to be let in looks more often.
            await asyncio.sleep(ASKED_EVERY if last and last.opens_connections else ASKED_EVERY / 4)

    async def tell(self, waiting: Callable[[], Waiting | None]) -> None:
        """Tell the batch what the slice waits for, so that `progress` and the Web UI say it; until cancelled.

        The more often it changes, the more rarely it is told: each time is an event of the batch's history.
        """
        told: Waiting | None = None
        pause = 1.0
        while True:
            await asyncio.sleep(pause)
            now = waiting()
            if (now and now.what) == (told and told.what):
                continue
            with suppress(RPCError):
                await self._batch.signal("waiting", args=[self._key, now], rpc_timeout=_PATIENCE)
                told = now
                pause = min(pause * 1.5, _TOLD_AT_MOST_EVERY)
                if now:
                    log.warning("slice %s of %s waits: %s", self._key, self._batch.id, now.what)

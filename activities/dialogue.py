"""What a running slice asks its batch, and tells it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from batchmail.batch.progress import Control, Waiting

log = logging.getLogger(__name__)

ASKED_EVERY = 1.0
"""Seconds between two questions to the batch."""

_LEAST_PATIENCE, _MOST_PATIENCE = timedelta(seconds=2), timedelta(seconds=16)
"""For an answer to a question. A question may have gone to a worker that is dead or frozen, and the next one
goes elsewhere; a busy worker that must replay a long history first needs time."""

_REFUSED_FIRST, _REFUSED_AGAIN = 0.05, 1.0
"""Seconds until a refused question is asked again, doubling. While the batch is at work the server keeps one
question, and refuses the others; so does a server whose rate is exceeded."""

_UNANSWERED = (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)

_PATIENCE = timedelta(seconds=10)
_TOLD_AT_MOST_EVERY = 30.0


class Dialogue:
    """One attempt's talk with its batch, which knows the slice as `key`. `heed` is given every answer.

    `waited`: the batch takes the slice to wait for something, from an earlier part.
    """

    def __init__(self, client: Client, key: str, heed: Callable[[Control], None], *, waited: bool) -> None:
        info = activity.info()
        self._client = client
        self._batch = client.get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
        self._key = key
        self._heed = heed
        self._may_be_taken_to_wait = info.attempt > 1 or waited

    async def ask(self) -> None:
        """Ask again and again what the batch wants; until cancelled. No answer is no answer: ask again."""
        last: Control | None = None
        patience = _LEAST_PATIENCE
        refused = _REFUSED_FIRST
        while True:
            pause = 0.0
            try:
                last = await self._wanted(patience)
            except RPCError as error:
                if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
                    pause, refused = refused, min(refused * 2, _REFUSED_AGAIN)
                elif error.status in _UNANSWERED:
                    patience = min(patience * 2, _MOST_PATIENCE)
            except ValueError:
                pass  # of another version, or no answer at all
            else:
                patience, refused = max(patience / 2, _LEAST_PATIENCE), _REFUSED_FIRST
                if last.waits is not None:
                    self._may_be_taken_to_wait = last.waits
                self._heed(last)
            # A slice that waits to be let in looks more often.
            await asyncio.sleep(
                pause or (ASKED_EVERY if last and last.opens_connections else ASKED_EVERY / 4)
            )

    async def _wanted(self, patience: timedelta) -> Control:
        """The batch's answer, without the client's own retries: those begin a second after a refusal."""
        converter = self._client.data_converter
        question = QueryWorkflowRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=self._batch.id, run_id=self._batch.run_id or ""),
        )
        question.query.query_type = "control"
        question.query.query_args.payloads.extend(await converter.encode([self._key]))
        answer = await self._client.workflow_service.query_workflow(question, retry=False, timeout=patience)
        control: Control
        (control,) = await converter.decode(answer.query_result.payloads, [Control])
        return control

    async def tell(self, waiting: Callable[[], Waiting | None], is_well: Callable[[], bool]) -> None:
        """Tell the batch what the slice waits for, so that `progress` and the Web UI say it; until cancelled.

        The more often it changes, the more rarely it is told: each time is an event of the batch's history.
        An earlier attempt may have died while it waited: a batch that takes the slice to wait, or may do so,
        is told that it does not, once `is_well`.
        """
        told: Waiting | None = None
        pause = 1.0
        while True:
            await asyncio.sleep(pause)
            now = waiting()
            if now:
                is_news = told is None or now.what != told.what
            else:
                is_news = told is not None or (self._may_be_taken_to_wait and is_well())
            if not is_news:
                continue
            with suppress(RPCError):
                await self._batch.signal("waiting", args=[self._key, now], rpc_timeout=_PATIENCE)
                told, self._may_be_taken_to_wait = now, False
                pause = min(pause * 1.5, _TOLD_AT_MOST_EVERY)
                if now:
                    log.warning("slice %s of %s waits: %s", self._key, self._batch.id, now.what)

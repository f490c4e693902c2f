"""Mail one slice: the work of BatchEmailWorkflow.

The slice runs as a task of its own: the SDK's heartbeat timer, which our heartbeats do not reset, cancels a
long activity locally although the server hears from it; that is ignored. Every other cancellation is a
request to hand back. The result is sent by the task token, so that it is sent only while the lease is good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities import events
from activities.clock import lease_now
from activities.mails import load_mails
from activities.slice_run import SliceRun, SupersededError
from activities.surroundings import Surroundings
from batchmail.batch.attempt import Phase
from batchmail.batch.places import batch_folder
from batchmail.batch.retry import LONGEST_DELAY
from batchmail.batch.tasks import Part, PartResult
from batchmail.engine.log_lines import type_and_place

log = logging.getLogger(__name__)


class SendSlice:
    """The activity send_slice."""

    def __init__(self, here: Surroundings) -> None:
        self._here = here

    @activity.defn(name="send_slice")
    async def send_slice(self, part: Part) -> PartResult:
        """Mail the part's recipients, one transaction each; settled ones are named in an outcome file."""
        here = self._here
        await carry_out(
            here,
            SliceRun(
                here,
                part,
                batch_folder(part.batch),
                lambda: load_mails(
                    here.store, part.batch, part.snapshot, part.message, part.first, part.last
                ),
            ),
        )


async def carry_out(
    here: Surroundings,
    run: SliceRun,
    settled: Callable[[PartResult], Awaitable[None]] | None = None,
) -> NoReturn:
    """Run the slice and tell the server how it ended, unless the attempt has been superseded.

    `settled` is called before the result is told.
    """
    if events.armed:
        events.happened("begun")
    task = asyncio.create_task(run.run())
    handle = here.client.get_async_activity_handle(task_token=activity.info().task_token)
    try:
        result = await _undisturbed(task, run)
        if settled is not None:
            await settled(result)
        left = run.attempt.lease_left(lease_now())
        if not run.attempt.has_lease(lease_now()):
            raise SupersededError
        with suppress(RPCError, AsyncActivityCancelledError):
            await handle.complete(result, rpc_timeout=timedelta(seconds=left))
        if events.armed:
            events.happened("handed_back")
    except SupersededError:
        log.info("an attempt was superseded and has ended")
    except ApplicationError as failure:
        details = [run.attempt.ledger.record()] if run.attempt.phase is Phase.FAILING else []
        with suppress(RPCError, AsyncActivityCancelledError):
            await handle.fail(failure, last_heartbeat_details=details)
    activity.raise_complete_async()


async def _undisturbed(task: asyncio.Task[PartResult], run: SliceRun) -> PartResult:
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            why = activity.cancellation_details()
            if why is None or not why.timed_out:
                run.stop("its activity was cancelled")
        except BaseExceptionGroup as group:
            raise _ending(group) from None


def _ending(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What the attempt ends by. Unexpected errors are told by type only: their texts may carry addresses."""
    for error in _leaves(group):
        if not isinstance(error, (SupersededError, ApplicationError, asyncio.CancelledError)):
            log.error("a slice failed: %s", type_and_place(error))
            log.debug("the failure in full", exc_info=error)
            # Each attempt adds a marker: one that can only fail again comes ever more rarely.
            delay = timedelta(seconds=min(LONGEST_DELAY, 2.0 ** (activity.info().attempt - 1)))
            said = f"{type_and_place(error)}; the next attempt goes on from the last ledger."
            return ApplicationError(said, next_retry_delay=delay)
    return next(error for error in _leaves(group) if not isinstance(error, asyncio.CancelledError))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found

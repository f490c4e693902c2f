"""Start, attach to and watch a batch by its name: the command line's and every program's one way.

    client = await connect()
    batch = await start(client, store, "spring-sale", request, task_queue="batchmail")
    result = await batch.result()

Starting twice is harmless: a batch that runs is attached to, one that has ended answers with its result, and
one whose run was terminated or failed goes on under the same name. Every failure is one sentence
(batchmail.errors); no call but `result` and `watch`, which outlast a server's absence, waits longer than ten
seconds for Temporal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.options import BatchRequest
from batchmail.batch.orders import Order
from batchmail.batch.progress import Progress
from batchmail.batch.result import BatchResult
from batchmail.batch.standing import Silence, Standing, standing
from batchmail.errors import BatchFailedError, EncryptionError, EngineError, RefusedError
from batchmail.report.receipt import load_receipt
from batchmail.store import Store

WORKFLOW = "BatchEmailWorkflow"
SLICE = "send_slice"

_CALL = timedelta(seconds=10)
_GLANCE = timedelta(seconds=4)  # for one look at a batch: whoever watches looks again
_PAUSE_WHILE_AWAY = 1.0

_FOR_GOOD = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.UNIMPLEMENTED,
)


class Batch:
    """A batch that runs or has ended. `began`: this very call began it, or took it up again; `had_ended`: it
    had ended by the time it was found."""

    def __init__(
        self, client: Client, batch_id: str, *, began: bool = False, result: BatchResult | None = None
    ) -> None:
        self.id = batch_id
        self.began = began
        self._client = client
        self.had_ended = result is not None
        self._result = result
        self._handle: WorkflowHandle[object, BatchResult] = client.get_workflow_handle(
            batch_id, result_type=BatchResult
        )

    async def result(self) -> BatchResult:
        """Wait until the batch has ended, however long, and also while Temporal is away.

        A run that an operator resets ends, and another one goes on with the batch: that one is waited for.
        Raises BatchFailedError when it ended without a result, EngineError when Temporal does not know it or
        does not let us ask.
        """
        while self._result is None:
            try:
                self._result = await self._handle.result()
            except WorkflowFailureError as error:
                if await self._goes_on():
                    continue
                raise BatchFailedError(_why_it_failed(self.id, error)) from None
            except RPCError as error:
                if error.status in _FOR_GOOD:
                    raise _refusal(f"asked for batch {self.id}", error) from None
                await asyncio.sleep(_PAUSE_WHILE_AWAY)
        return self._result

    async def _goes_on(self) -> bool:
        """Whether a run of the batch is under way."""
        with suppress(EngineError):
            return await _status(self._client, self.id) is WorkflowExecutionStatus.RUNNING
        return False

    async def watch(self, every: timedelta = timedelta(seconds=1)) -> AsyncGenerator[Standing]:
        """How far the batch is, again and again until it has ended; then `result` answers at once.

        While Temporal or all workers are away the last standing comes again and says so.
        """
        ended = asyncio.ensure_future(self.result())
        last = Standing()
        look: asyncio.Task[Standing] | None = None
        try:
            while True:
                look = asyncio.create_task(self.look(last))
                await asyncio.wait({ended, look}, return_when=asyncio.FIRST_COMPLETED)
                if look.done():
                    last = look.result()
                    yield last
                    await asyncio.wait({ended}, timeout=every.total_seconds())
                if ended.done():
                    return
        finally:
            tasks = [ended] if look is None else [ended, look]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def holds(self, request: BatchRequest) -> bool:
        """Whether it was started for the list and message of `request`; True where Temporal cannot tell.

        Raises EngineError.
        """
        try:
            with _explained(f"asked for batch {self.id}"):
                memo = await (await self._handle.describe(rpc_timeout=_CALL)).memo()
        except _UnknownBatchError:
            return True
        return all(memo.get(name, wanted) == wanted for name, wanted in _memo(request).items())

    async def check_holds(self, request: BatchRequest) -> None:
        """Raise RefusedError where it is a batch of another list or message. Raises EngineError."""
        if not await self.holds(request):
            state = "has ended" if self.had_ended else "runs"
            raise RefusedError(
                f"Batch {self.id} {state}, and is of another list or message: give this one another name."
            )

    async def cancel(self) -> None:
        """Ask the batch to mail nobody new; it settles what is under way, reports and ends `cancelled`."""
        with _explained(f"asked to cancel batch {self.id}"):
            await self._handle.cancel(rpc_timeout=_CALL)

    async def pause(self) -> None:
        """Ask the batch to mail nobody new until it is resumed or cancelled; its slices hand back.

        A batch that is paused, cancelled or has nobody left to mail does not heed it. Raises EngineError.
        """
        with _explained(f"asked to pause batch {self.id}"):
            await self._handle.signal(str(Order.PAUSE), rpc_timeout=_CALL)

    async def resume(self) -> None:
        """Ask the batch to go on. One that paused since too many were rejected does not pause for that again.

        Raises EngineError.
        """
        with _explained(f"asked to resume batch {self.id}"):
            await self._handle.signal(str(Order.RESUME), rpc_timeout=_CALL)

    async def look(self, last: Standing = Standing()) -> Standing:  # noqa: B008 - frozen
        """How far the batch is now; `last` is what was known before, which comes again, with who is silent,
        where Temporal or all workers do not answer."""
        silent: Silence | None = None
        progress: Progress | None = None
        asked = datetime.now(UTC)
        try:
            progress = await self._handle.query("progress", result_type=Progress, rpc_timeout=_GLANCE)
        except (RPCError, WorkflowQueryFailedError):
            silent = Silence.WORKER
        try:
            described = await self._handle.describe(rpc_timeout=_GLANCE)
        except RPCError:
            silent = Silence.ENGINE
        if progress is None or silent is not None:
            since = last.silent_since if last.silent is silent else asked
            return last.model_copy(update={"silent": silent, "silent_since": since})
        pending = described.raw_description.pending_activities
        ledgers = await self._ledgers(pending)
        troubles = [trouble async for trouble in self._troubles(pending)]
        return standing(last, progress, ledgers, datetime.now(UTC), troubles)

    async def _ledgers(self, activities: Iterable[PendingActivityInfo]) -> list[LedgerRecord]:
        """What the running slices said in their last heartbeats."""
        found: list[LedgerRecord] = []
        for activity in activities:
            if activity.activity_type.name == SLICE and activity.heartbeat_details.payloads:
                # One that a newer worker wrote is of no use to the eye; it is no reason to stop looking.
                with suppress(Exception):
                    found += await self._client.data_converter.decode(
                        activity.heartbeat_details.payloads, [LedgerRecord]
                    )
        return found

    async def _troubles(self, activities: Iterable[PendingActivityInfo]) -> AsyncIterator[str]:
        """Why steps of the batch are between two attempts: nothing is lost, but somebody may have to act."""
        for activity in activities:
            if activity.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED:
                continue
            if activity.last_failure.HasField("timeout_failure_info"):
                yield "A worker has fallen silent: what it had in hand goes on at the next one."
            elif activity.HasField("last_failure"):
                try:
                    said: object = await self._client.data_converter.decode_failure(activity.last_failure)
                except EncryptionError as error:
                    said = error
                if text := said.message if isinstance(said, FailureError) else str(said):
                    yield text


def _memo(request: BatchRequest) -> dict[str, str | None]:
    """By what Temporal knows a batch's list and message again."""
    return request.model_dump(include={"snapshot", "list", "message", "message_location"})


async def find(client: Client, store: Store, batch_id: str) -> Batch | None:
    """The batch of this name, running or ended; None where there is none, or only one whose run was
    terminated, timed out or failed, so that it can be started to go on.

    The receipt in the store answers for a batch whose history is gone. Raises EngineError, StoreError.
    """
    status = await _status(client, batch_id)
    if status is WorkflowExecutionStatus.RUNNING:
        return Batch(client, batch_id)
    if status is WorkflowExecutionStatus.COMPLETED:
        return Batch(client, batch_id, result=await Batch(client, batch_id).result())
    receipt = await load_receipt(store, batch_id)
    # A run that was ended between receipt and notice is started again: it mails the admins, and nobody else.
    if receipt is not None and (status is None or receipt.admin_notified):
        return Batch(client, batch_id, result=receipt)
    return None


async def start(
    client: Client, store: Store, batch_id: str, request: BatchRequest, *, task_queue: str, summary: str = ""
) -> Batch:
    """Start the batch, or find the one that runs or has ended under this name.

    A name belongs to one list and one message for good: as long as Temporal knows the batch, another list or
    message is refused; after that who gives names must see to it. `summary` is shown in Temporal's Web UI: no
    recipient's address belongs there. Raises RefusedError, EngineError, StoreError.
    """
    while True:
        if found := await find(client, store, batch_id):
            await found.check_holds(request)
            return found
        with _explained(f"asked to start batch {batch_id}"), suppress(WorkflowAlreadyStartedError):
            await client.start_workflow(
                WORKFLOW,
                request,
                id=batch_id,
                task_queue=task_queue,
                # A second start must fail rather than attach silently: only so do we know whose start it was.
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=summary or None,
                memo=_memo(request),
                rpc_timeout=_CALL,
            )
            return Batch(client, batch_id, began=True)


async def running(client: Client) -> list[str]:
    """The ids of all batches that run, as of a moment ago. Raises EngineError."""
    with _explained("asked for running batches"):
        query = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus = 'Running'"
        return [one.id async for one in client.list_workflows(query, rpc_timeout=_CALL)]


async def attach(client: Client, store: Store, batch_id: str) -> Batch:
    """The batch of this name. Raises EngineError where there is none."""
    if found := await find(client, store, batch_id):
        return found
    raise EngineError(f"There is no batch {batch_id} on this Temporal server, and no receipt in the store.")


async def _status(client: Client, batch_id: str) -> WorkflowExecutionStatus | None:
    """The state of the last run under this name; None where Temporal knows none."""
    try:
        with _explained(f"asked for batch {batch_id}"):
            return (await client.get_workflow_handle(batch_id).describe(rpc_timeout=_CALL)).status
    except _UnknownBatchError:
        return None


class _UnknownBatchError(EngineError):
    """Temporal has no run under this name."""


@contextmanager
def _explained(asked: str) -> Iterator[None]:
    """Temporal's failures as one sentence."""
    try:
        yield
    except RPCError as error:
        raise _refusal(asked, error) from None


def _refusal(asked: str, error: RPCError) -> EngineError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return _UnknownBatchError(f"Temporal, {asked}, knows of none (it may be past the retention time).")
    name = error.status.name.lower().replace("_", " ")
    return EngineError(f"Temporal, {asked}, fails ({name}): see that the server runs, and try again.")


def _why_it_failed(batch_id: str, error: WorkflowFailureError) -> str:
    cause = error.cause
    while isinstance(cause, FailureError) and not isinstance(cause, ApplicationError) and cause.cause:
        cause = cause.cause
    said = str(cause).strip().splitlines() or [type(cause).__name__]
    return (
        f"Batch {batch_id} ended without a result ({said[0].rstrip('.')}): nobody is lost, the same command "
        "goes on with it."
    )

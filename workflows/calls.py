"""Every activity as the workflow calls it: name, types, time-outs, retries. One table."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from batchmail.batch.options import BatchOptions
from batchmail.batch.result import BatchResult
from batchmail.batch.tasks import ListLocation, Notice, Opened, Opening, Part, PartResult, ReportTask, Taken

In = TypeVar("In")
Out = TypeVar("Out")

_AGAIN_SOON = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1)
)
_A_SLICE_MAY_TAKE = timedelta(days=3650)
"""A slice hands back by itself; the server demands some bound."""
_ANYTHING_ELSE_MAY_TAKE = timedelta(hours=1)


class Call(NamedTuple, Generic[In, Out]):
    """One activity. `mails`: its heartbeats are a ledger; the others' say only that they live."""

    name: str
    result: type[Out]
    mails: bool = False

    async def __call__(self, task: In, *, summary: str, options: BatchOptions) -> Out:
        """Run the activity to its end, however long that takes. It is never cancelled by the workflow.

        Raises ApplicationError, as the activity said it, when that refused the task for good.
        """
        try:
            result: Out = await workflow.execute_activity(
                self.name,
                task,
                result_type=self.result,
                summary=summary,
                start_to_close_timeout=_A_SLICE_MAY_TAKE if self.mails else _ANYTHING_ELSE_MAY_TAKE,
                heartbeat_timeout=options.heartbeat_timeout,
                retry_policy=(
                    RetryPolicy(initial_interval=options.retry_interval, backoff_coefficient=1.0)
                    if self.mails
                    else _AGAIN_SOON
                ),
            )
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):
                raise error.cause from None
            raise
        return result


SNAPSHOT_LIST = Call[ListLocation, Taken]("snapshot_list", Taken)
OPEN_BATCH = Call[Opening, Opened]("open_batch", Opened)
SEND_SLICE = Call[Part, PartResult]("send_slice", PartResult, mails=True)
WRITE_REPORT = Call[ReportTask, BatchResult]("write_report", BatchResult)
NOTIFY_ADMIN = Call[Notice, PartResult]("notify_admin", PartResult, mails=True)

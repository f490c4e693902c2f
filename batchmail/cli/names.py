"""Which batch a job is: its id, and the batches of the store that have a say in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count

from batchmail.batch.batch_cut import cut_name
from batchmail.batch.ids import batch_id_for
from batchmail.batch.result import BatchResult
from batchmail.cli.job import Job
from batchmail.cli.wishes import Wishes
from batchmail.errors import MissingObjectError, RefusedError
from batchmail.lists.snapshot import load_snapshot
from batchmail.report.cut import load_cut
from batchmail.report.receipt import load_receipt
from batchmail.store import Store


def possible_ids(job: Job, wishes: Wishes) -> Iterator[str]:
    """The batch ids this job may have, in order: the first is meant, unless that one has ended and the list
    is to be mailed again. So `--again` goes on with what it once began, and only then begins anew."""
    if wishes.batch_id is not None:
        yield wishes.batch_id
        return
    for mailing in count():
        yield batch_id_for(job.snapshot.id, job.message.id, str(mailing) if mailing else "")
        if not wishes.again:
            return


async def answered_before(store: Store, batch_id: str, admins: Sequence[str]) -> BatchResult | None:
    """The result of a batch that needs nothing any more, so that no server has to be asked.

    One whose admins may be waiting for their mail is not answered here: its workflow may still run.
    """
    receipt = await load_receipt(store, batch_id)
    return receipt if receipt and (receipt.admin_notified or not admins) else None


async def as_kept(store: Store, result: BatchResult) -> tuple[BatchResult, datetime | None]:
    """A result of before, and when its batch was purged: the report is gone then. Raises StoreError."""
    cut = await load_cut(store, cut_name(result.batch_id))
    if cut is None or cut.purged is None:
        return result, None
    return result.model_copy(update={"report": ""}), cut.purged


async def check_name(store: Store, batch_id: str, job: Job) -> bool:
    """Whether the batch has been begun before. Raises RefusedError where its id is another job's."""
    cut = await load_cut(store, cut_name(batch_id))
    if cut is None:
        return False
    if cut.snapshot == job.snapshot.id and cut.message == job.message.id:
        return True
    try:
        other = await load_snapshot(store, cut.snapshot)
        holds = f"{other.list_name} with {other.total:,} recipients"
    except MissingObjectError:
        holds = "a list"
    differs = "another list" if cut.snapshot != job.snapshot.id else "another message"
    raise RefusedError(
        f"--batch-id {batch_id} is the name of {differs}: it holds {holds} and message {cut.message[:8]}…; "
        "give another name, or leave --batch-id out."
    )

"""The activity that ends a batch in the store: report.csv, the first failures, and last the receipt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from temporalio import activity

from activities.beating import beating
from activities.surroundings import Surroundings
from batchmail.batch.batch_cut import cut_name
from batchmail.batch.outcomes import Outcome
from batchmail.batch.result import BatchResult
from batchmail.batch.tasks import ReportTask
from batchmail.lists.snapshot import Snapshot, all_recipients, load_snapshot
from batchmail.relay.reasons import reason
from batchmail.report.cut import load_cut
from batchmail.report.endings import Endings, damaged, load_outcomes
from batchmail.report.failures import save_failures
from batchmail.report.receipt import load_receipt, save_receipt
from batchmail.report.table import HEADER, Table, report_name
from batchmail.report.words import Words
from batchmail.store import Store

_log = logging.getLogger(__name__)


class WriteReport:
    """Settles the truth about a finished batch. Run twice, it writes the same."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    @activity.defn(name="write_report")
    async def write_report(self, task: ReportTask) -> BatchResult:
        """The batch's result, once report and receipt are safe in the store.

        Raises StoreError where the store is out of reach, or a file that a slice named is missing or damaged:
        the report waits for it rather than leave somebody out.
        """
        async with beating():
            return await self._write(task)

    async def _write(self, task: ReportTask) -> BatchResult:
        store = self._surroundings.store
        earlier = await load_receipt(store, task.batch)
        if earlier is not None and (cut := await load_cut(store, cut_name(task.batch))) and cut.purged:
            return earlier
        snapshot = await load_snapshot(store, task.snapshot)
        endings = await _endings(store, task, snapshot.total)
        result = _result(task, snapshot, endings, store.path(report_name(task.batch)))
        if earlier is not None and earlier.model_copy(update={"admin_notified": False}) == result:
            return earlier
        table = Table(endings, reason)
        words = await Words.find(store, task.batch, endings.nonces)
        await store.put_stream(report_name(task.batch), _pieces(store, snapshot, table, words))
        await save_failures(store, task.batch, tuple(table.failures))
        await save_receipt(store, result)
        return result


async def _endings(store: Store, task: ReportTask, total: int) -> Endings:
    endings = Endings(total)
    for name in sorted(set(task.files)):
        try:
            await asyncio.to_thread(endings.take, await load_outcomes(store, name))
        except ValueError as error:
            raise damaged(store, name, str(error)) from None
    return endings


async def _pieces(store: Store, snapshot: Snapshot, table: Table, words: Words) -> AsyncIterator[bytes]:
    yield HEADER
    async for block in all_recipients(store, snapshot):
        said = await words.up_to(table.row + len(block))
        yield await asyncio.to_thread(table.write, block, said)


def _result(task: ReportTask, snapshot: Snapshot, endings: Endings, report: str) -> BatchResult:
    tally = endings.tally()
    if tally.unrecorded:
        _log.error(
            "batch %s: no outcome was recorded for %d recipients; the report calls them unknown",
            task.batch,
            tally.unrecorded,
        )
    return BatchResult(
        batch_id=task.batch,
        status=task.status,
        total=snapshot.total,
        sent=tally.counts.get(Outcome.SENT, 0),
        rejected=tally.counts.get(Outcome.REJECTED, 0),
        expired=tally.counts.get(Outcome.EXPIRED, 0),
        unknown=tally.counts.get(Outcome.UNKNOWN, 0),
        suppressed=tally.counts.get(Outcome.SUPPRESSED, 0),
        duplicates_in_list=(task.facts or snapshot).duplicates,
        invalid_rows=(task.facts or snapshot).invalid_rows,
        in_doubt_resent=max(tally.in_doubt_resent, task.resent),
        seconds=(task.settled - task.started).total_seconds(),
        report=report,
    )

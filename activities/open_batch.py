"""Open a batch in the store: its list, message and cut are fixed once, whoever starts it how often.

The cut into row ranges is kept with the batch, since markers and outcome files are found by it. A batch that
has its receipt has ended, however long ago: it is answered from there.
"""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import beating
from activities.mails import compiled_message
from activities.snapshot_list import refused
from activities.surroundings import Surroundings
from batchmail.batch.batch_cut import BatchCut, cut_name
from batchmail.batch.slices import cut
from batchmail.batch.tasks import Opened, Opening
from batchmail.errors import InputError, MissingObjectError
from batchmail.lists.addresses import Unusable, usable_address
from batchmail.lists.location import local_path
from batchmail.lists.snapshot import load_snapshot
from batchmail.message.source import MessageSource, load_message, read_message, save_message
from batchmail.report.cut import load_cut
from batchmail.report.receipt import load_receipt


class OpenBatch:
    """The activity open_batch."""

    def __init__(self, here: Surroundings) -> None:
        self._here = here

    @activity.defn(name="open_batch")
    async def open_batch(self, task: Opening) -> Opened:
        """What the batch is. A message that does not fit the list fails the batch; nobody is mailed."""
        async with beating():
            return await self._open(task)

    async def _open(self, task: Opening) -> Opened:
        store = self._here.store
        try:
            snapshot = await load_snapshot(store, task.snapshot)
            message = await self._message(task)
            await compiled_message(message, snapshot.fields, snapshot.list_name)
            _check_admins(task.admins)
        except InputError as error:
            raise refused(error) from None
        except MissingObjectError as error:
            raise ApplicationError(other_store(str(store), task.store), type=type(error).__name__) from None
        name = cut_name(task.batch)
        wished = BatchCut(
            batch=task.batch,
            snapshot=snapshot.id,
            message=message.id,
            slice_size=cut(snapshot.total, task.connections, task.slice_size).size,
        )
        await store.create(name, wished.model_dump_json().encode())
        kept = await load_cut(store, name) or wished
        if (kept.snapshot, kept.message) != (snapshot.id, message.id):
            raise ApplicationError(
                f"The batch id {task.batch} is taken by another list or message: give another one.",
                type="RefusedError",
                non_retryable=True,
            )
        return Opened(
            message=message.id,
            list_name=snapshot.list_name,
            total=snapshot.total,
            slice_size=kept.slice_size,
            receipt=await load_receipt(store, task.batch),
            search_attributes=self._here.search_attributes.names,
        )

    async def _message(self, task: Opening) -> MessageSource:
        if task.message is not None:
            return await load_message(self._here.store, task.message)
        source = read_message(
            local_path(task.message_location or "", "message"),
            sender=task.sender,
            default_sender=self._here.settings.mail_from,
        )
        await save_message(self._here.store, source)
        return source


def other_store(here: str, starter: str | None) -> str:
    """Why list or message are not in this worker's store."""
    missing = f"The store of this worker, {here}, does not have this batch's list and message"
    if starter is None:
        return f"{missing}: give starters and workers the same BATCH_STORE."
    if starter == here:
        return (
            f"{missing}, and the starter's has the same name: give both one folder that their machines "
            "share, or give the same command again if the list was purged."
        )
    return f"{missing}, which the starter kept in {starter}: give both the same BATCH_STORE."


def _check_admins(admins: tuple[str, ...]) -> None:
    for number, admin in enumerate(admins, 1):
        if isinstance(found := usable_address(admin), Unusable):
            raise InputError(f"options.admins: the address number {number} cannot be used: {found.reason}.")

"""Open a batch in the store: its list, message and cut are fixed once, whoever starts it how often.

The cut into row ranges is kept with the batch, since markers and outcome files are found by it. A batch that
has its receipt has ended, however long ago: it is answered from there.
"""

from __future__ import annotations

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.snapshot_list import refused
from activities.surroundings import Surroundings
from batchmail.batch.batch_cut import BatchCut, cut_name
from batchmail.batch.slices import cut
from batchmail.batch.tasks import Opened, Opening
from batchmail.errors import InputError, MissingObjectError, StoreError
from batchmail.lists.addresses import Unusable, usable_address
from batchmail.lists.location import local_path
from batchmail.lists.snapshot import load_snapshot
from batchmail.message.compiled import compile_message
from batchmail.message.source import MessageSource, load_message, read_message, save_message
from batchmail.report.receipt import load_receipt


class OpenBatch:
    """The activity open_batch."""

    def __init__(self, here: Surroundings) -> None:
        self._here = here

    @activity.defn(name="open_batch")
    async def open_batch(self, task: Opening) -> Opened:
        """What the batch is. A message that does not fit the list fails the batch; nobody is mailed."""
        store = self._here.store
        try:
            snapshot = await load_snapshot(store, task.snapshot)
            message = await self._message(task)
            compile_message(message, snapshot.fields, snapshot.list_name)
            _check_admins(task.admins)
        except InputError as error:
            raise refused(error) from None
        except MissingObjectError as error:
            raise ApplicationError(
                f"{error} Are starter and worker using the same store (BATCH_STORE)?",
                type="MissingObjectError",
            ) from None
        name = cut_name(task.batch)
        wished = BatchCut(
            snapshot=snapshot.id,
            message=message.id,
            slice_size=cut(snapshot.total, task.connections, task.slice_size).size,
        )
        await store.create(name, wished.model_dump_json().encode())
        try:
            kept = BatchCut.model_validate_json(await store.get(name))
        except ValidationError:
            raise StoreError(f"{store.path(name)} is damaged: it does not say what the batch is.") from None
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


def _check_admins(admins: tuple[str, ...]) -> None:
    for number, admin in enumerate(admins, 1):
        if isinstance(found := usable_address(admin), Unusable):
            raise InputError(f"options.admins: the address number {number} cannot be used: {found.reason}.")

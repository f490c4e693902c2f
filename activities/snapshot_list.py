"""Take the snapshot of a list given by its location, which this worker must be able to read."""

from __future__ import annotations

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.beating import beating
from activities.surroundings import Surroundings
from batchmail.batch.tasks import ListLocation, Taken
from batchmail.errors import InputError
from batchmail.lists.location import local_path
from batchmail.lists.take_snapshot import take_snapshot


class SnapshotList:
    """The activity snapshot_list."""

    def __init__(self, here: Surroundings) -> None:
        self._here = here

    @activity.defn(name="snapshot_list")
    async def snapshot_list(self, task: ListLocation) -> Taken:
        """The snapshot's id. A list that cannot be used fails the batch for good; nobody is mailed."""
        try:
            async with beating() as beat:
                scan = await take_snapshot(
                    self._here.store,
                    local_path(task.location),
                    email_column=task.email_column,
                    progress=beat.past,
                )
        except InputError as error:
            raise refused(error) from None
        return Taken(snapshot=scan.snapshot.id, facts=scan.snapshot.facts)


def refused(error: InputError) -> ApplicationError:
    """What cannot become better by trying again."""
    return ApplicationError(str(error), type=type(error).__name__, non_retryable=True)

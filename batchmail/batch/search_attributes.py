"""By what a batch is found in Temporal's Web UI, among thousands: its search attributes, as names and values.

Values are counts, a state, and the list's file name: nobody's address. Temporal never encrypts them.
"""

from __future__ import annotations

from enum import StrEnum

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Doing, Progress


class SearchAttribute(StrEnum):
    """One search attribute. A Postgres-backed server has three places for numbers, and these take all."""

    STATUS = "BatchmailStatus"
    LIST = "BatchmailList"
    TOTAL = "BatchmailTotal"
    SETTLED = "BatchmailSettled"
    NOT_SENT = "BatchmailNotSent"

    @property
    def is_number(self) -> bool:
        """Whether it is of type Int; the others are Keywords."""
        return self not in (SearchAttribute.STATUS, SearchAttribute.LIST)


class State(StrEnum):
    """The values of BatchmailStatus. A batch that failed or was terminated keeps its last one."""

    PREPARING = "preparing"
    MAILING = "mailing"
    WAITING = "waiting"
    """For deferred recipients' next try, or for something outside, such as the relay."""
    PAUSED = "paused"
    """By an operator, or by itself since too many were rejected: until it is resumed or cancelled."""
    CANCELLING = "cancelling"
    """What is under way is settled; nobody new is mailed."""
    FINISHING = "finishing"
    """Everybody is settled; the report is written and the admins are told."""
    DONE = "done"
    CANCELLED = "cancelled"


def state(progress: Progress) -> State:
    """What the batch is at, in one word."""
    if progress.doing is Doing.DONE:
        return State.CANCELLED if progress.cancelled else State.DONE
    if progress.paused is not None:
        return State.PAUSED
    if progress.waiting or progress.doing is Doing.WAITING_TO_RETRY:
        return State.WAITING
    if progress.doing in (Doing.REPORTING, Doing.NOTIFYING):
        return State.FINISHING
    if progress.cancelled:
        return State.CANCELLING
    return State.PREPARING if progress.doing is Doing.PREPARING else State.MAILING


def values(progress: Progress) -> dict[SearchAttribute, str | int]:
    """The value of every search attribute."""
    return {
        SearchAttribute.STATUS: state(progress),
        SearchAttribute.LIST: progress.list_name,
        SearchAttribute.TOTAL: progress.total,
        SearchAttribute.SETTLED: progress.settled_count,
        SearchAttribute.NOT_SENT: progress.settled_count - progress.settled.get(Outcome.SENT, 0),
    }

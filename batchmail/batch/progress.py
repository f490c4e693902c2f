"""What can be asked of a running batch: `progress` for people, `control` for its slices."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from batchmail.batch.brake import Brake
from batchmail.batch.outcomes import Outcome


class Doing(StrEnum):
    """What the batch is at."""

    PREPARING = "preparing"
    MAILING = "mailing"
    WAITING_TO_RETRY = "waiting to try deferred recipients again"
    REPORTING = "writing the report"
    NOTIFYING = "telling the admins"
    DONE = "done"


class Waiting(BaseModel):
    """A slice waits for something outside: what, and since when."""

    model_config = ConfigDict(frozen=True)

    what: str
    since: datetime


class PausedBy(StrEnum):
    """Who paused the batch."""

    OPERATOR = "operator"
    REJECTIONS = "rejections"
    """The batch itself, since too many were rejected: somebody has to say whether it is to go on."""


class Paused(BaseModel):
    """The batch is paused: nobody new is mailed until it is resumed or cancelled. `why`: a clause."""

    model_config = ConfigDict(frozen=True)

    by: PausedBy
    why: str
    since: datetime


class Progress(BaseModel):
    """How far a batch is, as of the last slice that ended; running slices tell more in their heartbeats."""

    model_config = ConfigDict(frozen=True)

    doing: Doing
    batch_id: str = ""
    list_name: str = ""
    total: int = 0
    settled: dict[Outcome, int] = {}
    deferred: int = 0
    """Waiting for their next try."""
    next_try: datetime | None = None
    slices_running: int = 0
    slices_left: int = 0
    waiting: tuple[Waiting, ...] = ()
    paused: Paused | None = None
    cancelled: bool = False
    took: timedelta = timedelta(0)
    """Since mailing began, or until everybody was settled."""
    as_of: datetime | None = None
    """When this was so."""

    @property
    def settled_count(self) -> int:
        """Recipients with a final outcome."""
        return sum(self.settled.values())


class Control(BaseModel):
    """What the batch wants of one of its slices."""

    model_config = ConfigDict(frozen=True)

    opens_connections: bool = True
    """Whether this slice may open connections; otherwise it uses those that others of its worker leave."""
    cancelled: bool = False
    """Nobody new is mailed: settle everyone left as not to be mailed."""
    paused: bool = False
    """Nobody new is mailed: hand back."""
    brake: Brake | None = None
    """Of the slices that have ended: a slice that passes it with its own recipients hands back."""
    waits: bool | None = None
    """Whether the batch takes the slice to wait for something; None: an earlier version does not say."""

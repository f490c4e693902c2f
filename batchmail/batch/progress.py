"""What can be asked of a running batch: `progress` for people, `control` for its slices."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome


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


class Progress(BaseModel):
    """How far a batch is, as of the last slice that ended; running slices tell more in their heartbeats."""

    model_config = ConfigDict(frozen=True)

    doing: Doing
    total: int = 0
    settled: dict[Outcome, int] = {}
    deferred: int = 0
    """Waiting for their next try."""
    next_try: datetime | None = None
    slices_running: int = 0
    slices_left: int = 0
    waiting: tuple[Waiting, ...] = ()
    cancelled: bool = False

    @property
    def settled_count(self) -> int:
        """Recipients with a final outcome."""
        return sum(self.settled.values())

    def as_markdown(self) -> str:
        """The current details that Temporal's Web UI shows."""
        lines = [f"**{self.doing}**" + (" (cancelled: nobody new is mailed)" if self.cancelled else ""), ""]
        lines += ["| | recipients |", "| --- | ---: |", f"| in all | {self.total:,} |"]
        lines += [f"| {outcome} | {self.settled.get(outcome, 0):,} |" for outcome in FINAL_OUTCOMES]
        if self.deferred:
            when = f", again at {self.next_try:%H:%M:%S} UTC" if self.next_try else ""
            lines.append(f"| deferred{when} | {self.deferred:,} |")
        lines.append(f"\nSlices: {self.slices_running} running, {self.slices_left} to come.")
        lines += [f"\nWaiting since {one.since:%Y-%m-%d %H:%M:%S} UTC: {one.what}" for one in self.waiting]
        return "\n".join(lines)


class Control(BaseModel):
    """What the batch wants of one of its slices."""

    model_config = ConfigDict(frozen=True)

    opens_connections: bool = True
    """Whether this slice may open connections; otherwise it uses those that others of its worker leave."""
    cancelled: bool = False
    """Nobody new is mailed: settle everyone left as not to be mailed."""

"""What the server knows of one scheduled part, and what is said to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.slices import range_name
from batchmail.batch.tasks import Part, PartResult

if TYPE_CHECKING:
    from tests.simulation.worker import Worker

LEASE = 10.0
"""Seconds: the heartbeat time-out."""


@dataclass(eq=False, slots=True)
class Activity:
    """The server's record of part `place` of a run. `era`: workflow resets before it.

    `number` is the current attempt's; an operator's reset makes it 1 again, so it may repeat.
    """

    part: Part
    place: int
    era: int
    number: int = 1
    details: LedgerRecord | None = None
    running: bool = False
    paused: bool = False
    forgets: bool = False
    """Details are to be forgotten when the attempt under way has ended."""
    deadline: float = 0.0
    range: str = field(init=False)

    def __post_init__(self) -> None:
        self.range = range_name(self.part.first, self.part.last)

    def __str__(self) -> str:
        return f"part {self.place} ({self.range})"

    def begin(self, now: float) -> None:
        """An attempt is given out."""
        self.running, self.deadline = True, now + LEASE

    def try_again(self, details: LedgerRecord | None) -> None:
        """The attempt under way has failed or timed out; another one is to begin."""
        self.details = None if self.forgets else details
        self.running = self.forgets = False
        self.number += 1

    def reset(self, heartbeats: bool) -> None:
        """`temporal activity reset`, with or without --reset-heartbeats."""
        self.number = 1
        if heartbeats:
            self.forgets = self.running
            self.details = self.details if self.running else None


@dataclass(eq=False, slots=True)
class Message:
    """What attempt `number` of an activity says to the server: a heartbeat, a failure or a result."""

    kind: str
    sender: Worker
    ledger: LedgerRecord
    states: bytes
    """The ledger's, unpacked."""
    result: PartResult | None = None
    copy: bool = False
    gone: bool = False
    """It has arrived, or is lost."""

    @property
    def is_late(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.copy or (self.kind == "heartbeat" and self.sender.beat is not self)

    def again(self) -> Message:
        """The same once more."""
        return replace(self, copy=True)

    def __str__(self) -> str:
        when = " (again)" if self.copy else " (late)" if self.is_late else ""
        return f"{self.sender}'s {self.kind}{when}"

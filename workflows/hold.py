"""Whether a batch is paused: by an operator, or by itself since too many are rejected.

Who resumes a batch that paused by itself accepts what it said: it does not pause for that again.
"""

from __future__ import annotations

from collections.abc import Mapping

from temporalio import workflow

from batchmail.batch.brake import Brake
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Paused, PausedBy

BRAKE = "brake"
"""Batches that passed the limit before there was one go on so."""

ORDER = "order"
"""A pause that came to a worker from before there were any stays unheeded: each is a change of its own."""


class Hold:
    """The pause of one batch, if there is one.

    `limit_percent`: the share of rejected not to be passed; `accepted`: it has been passed, and is to be;
    `heeds_orders`: no worker that knows of no orders can have the batch, or had it since this became true.
    """

    def __init__(
        self,
        limit_percent: float,
        *,
        paused: Paused | None = None,
        accepted: bool = False,
        heeds_orders: bool = False,
    ) -> None:
        self.limit_percent = limit_percent
        self.paused = paused
        self.accepted = accepted
        self.heeds_orders = heeds_orders
        self._orders = 0
        self._ended = False

    def by_operator(self) -> bool:
        """Pause, unless it is paused or over; whether it was done."""
        if self.paused is not None or self._ended or not self._is_heeded():
            return False
        self.paused = Paused(by=PausedBy.OPERATOR, why="an operator asked for it", since=workflow.now())
        return True

    def resume(self) -> bool:
        """Go on, if it is paused; whether it was."""
        paused, self.paused = self.paused, None
        if paused is not None and paused.by is PausedBy.REJECTIONS:
            self.accepted = True
        return paused is not None

    def end(self) -> None:
        """Nobody is left to be mailed, or the batch is cancelled: there is nothing to pause any more."""
        self.paused, self._ended = None, True

    @property
    def asks(self) -> bool:
        """Whether it paused by itself, and waits for an answer."""
        return self.paused is not None and self.paused.by is PausedBy.REJECTIONS

    def brake(self, settled: Mapping[Outcome, int]) -> Brake | None:
        """What slices are to reckon with; None where no share is too much."""
        if self.accepted or self._ended or self.limit_percent >= 100:
            return None
        return Brake(limit_percent=self.limit_percent).plus(settled)

    def too_many(self, settled: Mapping[Outcome, int]) -> Brake | None:
        """Pause where too many of these are rejected, and say how many; None where it was not done."""
        brake = self.brake(settled)
        if brake is None or not brake.is_passed or self.asks:
            return None
        if not workflow.patched(BRAKE):
            self.accepted = True
            return None
        self.heeds_orders = True
        self.paused = Paused(by=PausedBy.REJECTIONS, why=str(brake), since=workflow.now())
        return brake

    def _is_heeded(self) -> bool:
        """Whether a pause that comes is. A resume needs no such care: it ends one that was."""
        if not self.heeds_orders:
            self._orders += 1
            self.heeds_orders = workflow.patched(f"{ORDER}-{self._orders}")
        return self.heeds_orders

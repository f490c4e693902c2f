"""When a batch stops before it does damage: too many of those who were mailed have been rejected.

A list that is old, or a relay that a provider has begun to block, shows in the share of the rejected. Mailing
on would burn the rest of the list and the sender's reputation. One rule, for a slice's attempt, which must
stop in the midst of its rows, and for the batch, which pauses and asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from batchmail.batch.outcomes import Outcome

LEAST_SETTLED = 100
"""Of fewer, no share is told from chance."""

_COUNTED = (Outcome.SENT, Outcome.REJECTED, Outcome.EXPIRED, Outcome.UNKNOWN)


class Brake(BaseModel):
    """How many were settled and rejected, and the share of rejected, in percent, that is not to be passed.

    Who was suppressed was not mailed, and does not count.
    """

    model_config = ConfigDict(frozen=True)

    limit_percent: float
    settled: int = 0
    rejected: int = 0

    def plus(self, counts: Mapping[Outcome, int]) -> Brake:
        """With these further recipients, by outcome."""
        return Brake(
            limit_percent=self.limit_percent,
            settled=self.settled + sum(counts.get(outcome, 0) for outcome in _COUNTED),
            rejected=self.rejected + counts.get(Outcome.REJECTED, 0),
        )

    @property
    def is_passed(self) -> bool:
        """Whether too many are rejected."""
        return self.settled >= LEAST_SETTLED and self.rejected * 100 > self.limit_percent * self.settled

    @property
    def room(self) -> int:
        """Before so many more are rejected (at least 1) it cannot be passed by rejections alone."""
        if self.settled < LEAST_SETTLED or self.limit_percent >= 100:
            return 1
        left = self.limit_percent * self.settled - self.rejected * 100
        return max(1, math.floor(left / (100 - self.limit_percent)))

    def __str__(self) -> str:
        """`143 of 600 recipients were rejected (23.9 %, limit 20 %)`."""
        share = math.ceil(1000 * self.rejected / self.settled) / 10 if self.settled else 0
        return (
            f"{self.rejected:,} of {self.settled:,} recipients were rejected ({share:g} %, "
            f"limit {self.limit_percent:g} %)"
        )

"""What a finished batch came to: the workflow's result, the receipt in the store, and `--json`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome


class Status(StrEnum):
    """How a batch ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"


class BatchResult(BaseModel):
    """Counts of recipients by outcome; they add up to `total`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    batch_id: str
    status: Status
    total: int = Field(ge=0)
    """Usable recipients of the list."""
    sent: int = 0
    rejected: int = 0
    expired: int = 0
    unknown: int = 0
    suppressed: int = 0
    duplicates_in_list: int = 0
    invalid_rows: int = 0
    in_doubt_resent: int = 0
    """Resends of someone in doubt: never fewer than the relay's repeats."""
    seconds: float = 0.0
    """From the workflow's start until the last recipient was settled."""
    report: str = ""
    """Where report.csv lies."""
    admin_notified: bool = False

    @property
    def settled(self) -> dict[Outcome, int]:
        """Recipients by outcome, as a running batch counts them."""
        return {outcome: count for outcome in FINAL_OUTCOMES if (count := getattr(self, outcome))}

    @property
    def everyone_sent(self) -> bool:
        """Whether every usable recipient was mailed."""
        return self.sent == self.total

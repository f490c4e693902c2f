"""What a batch is started with. No recipient's address, no field and no message text is ever in here."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from batchmail.batch.retry import Retries

Seconds = Annotated[timedelta, Field(gt=timedelta(0))]

DEFAULT_RETRY_DELAYS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
)
"""The last one repeats until `give_up_after` has passed."""

DEFAULT_GIVE_UP_AFTER, LONGEST_GIVE_UP_AFTER = timedelta(hours=24), timedelta(days=100)

DEFAULT_MAX_REJECTED_PERCENT = 20.0
DEFAULT_TELL_AFTER = timedelta(minutes=15)


class InDoubt(StrEnum):
    """What to do about a recipient who may or may not have been mailed."""

    RESEND = "resend"
    """Mail again under the same Message-ID, and name the recipient in the report: nobody misses the mail."""
    HOLD = "hold"
    """Never mail twice: the recipient is reported as `unknown`."""


class BatchOptions(BaseModel):
    """How a batch is mailed. Every field has a default that suits most relays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: int = Field(default=20, ge=1, le=2000)
    """Connections to the relay at the same time, over all workers."""
    in_doubt: InDoubt = InDoubt.RESEND
    slice_size: int | None = Field(default=None, ge=1, le=20_000)
    """Recipients a slice; None lets the program decide (batchmail.batch.slices)."""
    give_up_after: Annotated[Seconds, Field(le=LONGEST_GIVE_UP_AFTER)] = DEFAULT_GIVE_UP_AFTER
    """A slice's recipients who are still deferred at its first try after this time are `expired`; counted
    from the slice's first deferral. Meanwhile they are tried after growing delays (DEFAULT_RETRY_DELAYS)."""
    retry_delays: tuple[Seconds, ...] | None = None
    """If given, it alone decides: how long a deferred recipient waits before each further try; after the last
    one it is `expired`, whatever `give_up_after` says."""
    heartbeat_timeout: Seconds = timedelta(seconds=10)
    """How long a worker may be silent before its slices go on elsewhere; also the length of its lease."""
    retry_interval: Seconds = timedelta(seconds=1)
    """Between two attempts of a slice; without growth."""
    max_rejected_percent: float = Field(default=DEFAULT_MAX_REJECTED_PERCENT, ge=0, le=100)
    """The batch pauses and asks when more of at least 100 settled recipients are rejected; 100: never."""
    tell_after: Seconds = DEFAULT_TELL_AFTER
    """The admins are told when the batch has waited so long for relay or store."""
    admins: tuple[str, ...] = ()
    """Who is told when the batch has ended, when it needs somebody's word, and when it has long waited."""

    def retries(self, spread: str) -> Retries:
        """How deferred recipients are tried again; `spread` sets a batch's due times apart from others'."""
        if self.retry_delays is not None:
            return Retries(delays=self.retry_delays, spread=spread)
        return Retries(delays=DEFAULT_RETRY_DELAYS, give_up_after=self.give_up_after, spread=spread)


class ListFacts(BaseModel):
    """What a list had beside its recipients."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    duplicates: int = 0
    invalid_rows: int = 0


class BatchRequest(BaseModel):
    """Input of BatchEmailWorkflow: a list and a message, each by its id in the store or by its location.

    A location is a path or URL that the *worker* can read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    snapshot: str | None = None
    list: str | None = None
    email_column: str | None = None
    message: str | None = None
    message_location: str | None = None
    sender: str | None = None
    """Replaces the message's own `from` (message_location only)."""
    list_facts: ListFacts | None = None
    """What the list had beside its recipients, with `snapshot`: two lists may have one snapshot."""
    options: BatchOptions = BatchOptions()
    store: str | None = None
    """Where `snapshot` and `message` are kept: to be named when a worker's store is another one."""
    carried: str | None = None
    """What earlier runs of the batch came to (batchmail.batch.carried). Never given by who starts a batch."""

    @model_validator(mode="after")
    def _each_by_id_or_location(self) -> BatchRequest:
        if (self.snapshot is None) == (self.list is None):
            raise ValueError("give either `snapshot` (an id in the store) or `list` (a location), not both")
        if (self.message is None) == (self.message_location is None):
            raise ValueError("give either `message` (an id in the store) or `message_location`, not both")
        if self.message is not None and self.sender is not None:
            raise ValueError("`sender` goes with `message_location`: a message by id has its own")
        return self

"""What the workflow's activities are given and give back. Counts, ranges and names: nobody's address."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, model_validator

from batchmail.batch.brake import Brake
from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.options import InDoubt, ListFacts
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Waiting
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.search_attributes import SearchAttribute


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ListLocation(_Model):
    """Input of snapshot_list: a list where the worker can read it."""

    location: str
    email_column: str | None = None


class Taken(_Model):
    """Result of snapshot_list."""

    snapshot: str
    facts: ListFacts | None = None


class Opening(_Model):
    """Input of open_batch: which list and message, and the cut that is wished."""

    batch: str
    snapshot: str
    message: str | None = None
    message_location: str | None = None
    sender: str | None = None
    admins: tuple[str, ...] = ()
    connections: int
    slice_size: int | None = None
    store: str | None = None
    """Where the starter keeps list and message, to be named when the worker's store is another one."""


class Opened(_Model):
    """Result of open_batch: what the batch is, once and for all."""

    message: str
    list_name: str
    total: int
    slice_size: int
    receipt: BatchResult | None = None
    """The batch has ended before: its result. Nobody is mailed."""
    search_attributes: tuple[SearchAttribute, ...] = ()
    """Those that the server takes."""


class Part(_Model):
    """Input of send_slice: the rows `first` to `last` of a snapshot, or what is left of them."""

    batch: str
    snapshot: str
    message: str
    first: int
    last: int
    connections: int
    opens_connections: bool = True
    in_doubt: InDoubt = InDoubt.RESEND
    last_try: bool = False
    due: bool = False
    """The delay of the deferred rows is over: they are to be tried again."""
    waited: bool = False
    """The last part handed back while it waited for something outside, and the batch takes this one to wait
    for it until it says otherwise."""
    ledger: LedgerRecord | None = None
    """What an earlier part handed back; None: all rows are pending and nobody has begun."""


class PartResult(_Model):
    """Result of send_slice: what was settled, and what is left."""

    file: str | None = None
    """Name of the outcome file; None where nobody was settled."""
    counts: dict[Outcome, int] = {}
    """Final outcomes of this part."""
    resent: int = 0
    pending: int = 0
    deferred: int = 0
    rest: LedgerRecord | None = None
    ended_because: str = ""
    waits: bool = False
    """It was waiting for something outside when it was to hand back."""


class ReportTask(_Model):
    """Input of write_report."""

    batch: str
    snapshot: str
    files: tuple[str, ...]
    """Names in the store of the outcome files that the slices' results named."""
    resent: int = 0
    """Resends by the slices' results, those of parts that settled nobody included."""
    facts: ListFacts | None = None
    """Of this batch's very list; None: those of the snapshot's first list."""
    status: Status
    started: datetime
    settled: datetime


class TooManyRejected(_Model):
    """The batch paused itself at `since`, and asks. `files`: some of its outcome files, for the reasons."""

    brake: Brake
    since: datetime
    files: tuple[str, ...] = ()


class LongWait(_Model):
    """The batch has waited long, when this was written `as_of`; it goes on by itself."""

    waiting: tuple[Waiting, ...]
    as_of: datetime


class Notice(_Model):
    """Input of notify_admin: one thing that the admins are told, and which of them are still to be told."""

    result: BatchResult | None = None
    """The batch has ended."""
    too_many_rejected: TooManyRejected | None = None
    long_wait: LongWait | None = None
    list_name: str
    admins: tuple[str, ...]
    part: Part

    @model_validator(mode="after")
    def _one_thing(self) -> Notice:
        if sum(one is not None for one in (self.result, self.too_many_rejected, self.long_wait)) != 1:
            raise ValueError("a notice tells exactly one thing")
        return self

    @property
    def name(self) -> str:
        """Its own name within the batch, for its ledgers in the store and its Message-IDs."""
        if self.too_many_rejected is not None:
            return f"notice/rejections-{self.too_many_rejected.since:%Y%m%dT%H%M%S}"
        if self.long_wait is not None:
            return f"notice/wait-{self.long_wait.as_of:%Y%m%dT%H%M%S}"
        return "notice"

"""What the workflow's activities are given and give back. Counts, ranges and names: nobody's address."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.options import InDoubt, ListFacts
from batchmail.batch.outcomes import Outcome
from batchmail.batch.result import BatchResult, Status


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


class Opened(_Model):
    """Result of open_batch: what the batch is, once and for all."""

    message: str
    list_name: str
    total: int
    slice_size: int
    receipt: BatchResult | None = None
    """The batch has ended before: its result. Nobody is mailed."""


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


class Notice(_Model):
    """Input of notify_admin: the finished batch, and which of its admins are still to be told."""

    result: BatchResult
    list_name: str
    admins: tuple[str, ...]
    part: Part

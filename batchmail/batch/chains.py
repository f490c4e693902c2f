"""A slice from part to part: ready to be scheduled, or waiting until its deferred recipients are due.

A slice is a chain of parts, never two at a time. What a part hands back goes on at once with the ledger it
handed back; when only deferred recipients are left, the chain waits for their next try. A *round* is all
parts between two such waits: whether it is the last try is settled when it begins, so that nobody is given up
by a try that was their first.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.retry import Retries
from batchmail.batch.slices import range_name
from batchmail.batch.tasks import Part, PartResult


class Chain(BaseModel):
    """Where one slice stands while none of its parts runs: the rows `first` to `last` of the snapshot."""

    model_config = ConfigDict(frozen=True)

    first: int
    last: int
    ledger: LedgerRecord | None = None
    """What its last part handed back; None: it has not begun."""
    tries: int = 0
    """Delays it has waited, the present one included."""
    since: datetime | None = None
    """When it first waited for deferred recipients."""
    deferred: int = 0
    """Recipients that wait for their next try."""
    due: datetime | None = None
    """When they are tried again; None: its next part is ready."""
    is_due: bool = False
    """Its next part begins a round: who was deferred is to be tried again."""
    last_try: bool = False
    """Who is deferred in this round is given up."""

    @property
    def range(self) -> str:
        """Its row range as it stands in the store's names."""
        return range_name(self.first, self.last)


def fresh(ranges: Iterable[tuple[int, int]], retries: Retries) -> list[Chain]:
    """The chains of a batch that begins: one for each row range."""
    only_try = not retries.delays
    return [Chain(first=first, last=last, last_try=only_try) for first, last in ranges]


def next_part(chain: Chain, whole: Part, *, opens_connections: bool) -> Part:
    """The chain's next part; `whole`: what all parts of the batch have in common."""
    return whole.model_copy(
        update={
            "first": chain.first,
            "last": chain.last,
            "opens_connections": opens_connections,
            "last_try": chain.last_try,
            "due": chain.is_due,
            "ledger": chain.ledger,
        }
    )


def after(chain: Chain, result: PartResult, now: datetime, retries: Retries) -> Chain | None:
    """The chain after a part that ended so: ready, waiting until due, or (None) at its end."""
    if result.rest is None:
        return None
    handed_back = chain.model_copy(update={"ledger": result.rest, "is_due": False})
    if result.pending:
        return handed_back
    since = chain.since or now
    return handed_back.model_copy(
        update={
            "tries": chain.tries + 1,
            "since": since,
            "deferred": result.deferred,
            "due": retries.due(chain.tries, now, since),
        }
    )


def woken(chain: Chain, now: datetime, retries: Retries) -> Chain:
    """The waiting chain, ready for its next round: its delay is over, or is cut short by a cancel."""
    begins = max(now, chain.due or now)
    return chain.model_copy(
        update={
            "due": None,
            "deferred": 0,
            "is_due": True,
            "last_try": retries.is_last(chain.tries, begins, chain.since or begins),
        }
    )

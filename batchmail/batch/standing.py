"""How far a batch is at this moment: what it says of ended slices, and what running slices say themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome
from batchmail.batch.progress import Doing, Paused, Progress, Waiting


class Silence(StrEnum):
    """Who does not answer, so that what is known may be old."""

    ENGINE = "Temporal"
    WORKER = "worker"


class Standing(BaseModel):
    """A batch at one moment, for people to look at. No count in `settled` ever falls."""

    model_config = ConfigDict(frozen=True)

    batch_id: str = ""
    doing: Doing = Doing.PREPARING
    total: int = 0
    settled: dict[Outcome, int] = {}
    """Recipients by final outcome, running slices included."""
    deferred: int = 0
    next_try: datetime | None = None
    waiting: tuple[Waiting, ...] = ()
    """What the batch waits for outside, each said once."""
    paused: Paused | None = None
    cancelled: bool = False
    silent: Silence | None = None
    silent_since: datetime | None = None

    @property
    def settled_count(self) -> int:
        """Recipients with a final outcome."""
        return sum(self.settled.values())


def standing(
    before: Standing,
    progress: Progress,
    running: Iterable[LedgerRecord],
    now: datetime,
    troubles: Iterable[str] = (),
) -> Standing:
    """The standing that follows `before`; `troubles` are what else is known to hold the batch up.

    `progress` must have been asked for before `running` was seen: a slice that ended in between is then
    counted in neither, and `before` keeps its recipients; the other way round it would count twice.
    """
    records = list(running)
    settled = {}
    for outcome in FINAL_OUTCOMES:
        seen = progress.settled.get(outcome, 0) + sum(record.counts.get(outcome, 0) for record in records)
        if count := max(seen, before.settled.get(outcome, 0)):
            settled[outcome] = count
    # Of several that wait for one thing, the one that has waited longest speaks, as in the details.
    latest_first = sorted(progress.waiting, key=lambda one: one.since, reverse=True)
    since = {one.what: one.since for one in (*before.waiting, *latest_first)}
    texts = (
        *(one.what for one in progress.waiting),
        *(record.waiting for record in records if record.waiting),
        *troubles,
    )
    deferred = progress.deferred + sum(record.counts.get(Outcome.DEFERRED, 0) for record in records)
    return Standing(
        batch_id=progress.batch_id,
        doing=progress.doing,
        total=progress.total,
        settled=settled,
        deferred=min(deferred, max(0, progress.total - sum(settled.values()))),
        next_try=progress.next_try,
        waiting=tuple(Waiting(what=text, since=since.get(text, now)) for text in dict.fromkeys(texts)),
        paused=progress.paused,
        cancelled=progress.cancelled,
    )

"""What one attempt of a slice adds to its worker's metrics: once a second, never mail by mail."""

from __future__ import annotations

import asyncio
from collections import Counter

from activities.lanes import Lanes
from activities.patience import Patience
from batchmail.batch.ledger import Ledger
from batchmail.engine.metrics import Metrics, WaitsFor

COUNTED_EVERY = 1.0
"""Seconds. What is counted in between is plain numbers that are there anyway."""


class Tally:
    """Compares what ledger, lanes and patience say now with what was told last.

    Told numbers never shrink: who was refused, was then found to be refused by the relay's fault, and is
    refused again, counts once. `mails_recipients`: false where the slice's rows are the admins.
    """

    def __init__(
        self,
        metrics: Metrics,
        ledger: Ledger,
        lanes: Lanes,
        patience: Patience,
        *,
        mails_recipients: bool,
    ) -> None:
        self._metrics = metrics
        self._ledger = ledger
        self._lanes = lanes
        self._patience = patience
        self._mails_recipients = mails_recipients
        self._relay_faults: Counter[str] = Counter()
        self._store_faults = 0
        self.begin()

    def begin(self) -> None:
        """What the ledger says by now was told by others: only what is added from here on counts."""
        self._outcomes = self._ledger.counts()
        self._marked = self._ledger.marked()
        self._resent = self._ledger.resent

    async def keep(self) -> None:
        """Count until cancelled, and once more then."""
        with self._metrics.slice_runs() as share:
            try:
                while True:
                    await asyncio.sleep(COUNTED_EVERY)
                    self._count()
                    share.connections = self._lanes.connections
                    share.waits_for = self._waits_for()
                    self._metrics.show()
            finally:
                self._count()

    def _waits_for(self) -> WaitsFor | None:
        if self._patience.waiting:
            return WaitsFor.STORE
        return WaitsFor.RELAY if self._lanes.waiting else None

    def _count(self) -> None:
        if self._mails_recipients:
            self._count_recipients()
        for stage, times in self._lanes.faults.items():
            if more := times - self._relay_faults[stage]:
                self._metrics.relay_faults(stage, more)
                self._relay_faults[stage] = times
        if more := self._patience.faults - self._store_faults:
            self._metrics.store_faults(more)
            self._store_faults += more

    def _count_recipients(self) -> None:
        metrics, ledger = self._metrics, self._ledger
        for outcome, recipients in ledger.counts().items():
            if (more := recipients - self._outcomes.get(outcome, 0)) > 0:
                metrics.settled(outcome, more)
                self._outcomes[outcome] = recipients
        if (more := ledger.marked() - self._marked) > 0:
            metrics.in_doubt(more)
            self._marked += more
        if (more := ledger.resent - self._resent) > 0:
            metrics.resent(more)
            self._resent += more

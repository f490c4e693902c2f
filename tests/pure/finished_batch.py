"""A batch that is over, in a real store: snapshot, outcome files, and what write_report makes of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.surroundings import Surroundings
from activities.write_report import WriteReport
from batchmail.batch.ledger import Ledger
from batchmail.batch.options import ListFacts
from batchmail.batch.outcomes import NO_CAUSE, Cause, Outcome, Stage
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.tasks import ReportTask
from batchmail.lists.snapshot import Snapshot
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.report.endings import Ending
from batchmail.settings import Relay, Settings, Tls
from batchmail.store import Store

BATCH = "batch-1"
STARTED = datetime(2031, 4, 1, 3, 0, tzinfo=UTC)

SENT = Ending(Outcome.SENT, NO_CAUSE, in_doubt=False)
SENT_IN_DOUBT = Ending(Outcome.SENT, NO_CAUSE, in_doubt=True)
UNKNOWN = Ending(Outcome.UNKNOWN, NO_CAUSE, in_doubt=True)
SUPPRESSED = Ending(Outcome.SUPPRESSED, NO_CAUSE, in_doubt=False)
NO_MAILBOX = Ending(Outcome.REJECTED, Cause(Stage.RCPT, 550, "5.1.1"), in_doubt=False)
FULL = Ending(Outcome.EXPIRED, Cause(Stage.DOT, 452, "4.2.2"), in_doubt=False)


def ledger_of(first: int, endings: Sequence[Ending | None], *nonces: str) -> Ledger:
    """A slice's ledger from row `first` on; None is a row that is still pending."""
    ledger = Ledger.of_rows(first, first + len(endings) - 1)
    ledger.nonces = list(nonces or ("nonce",))
    for row, ending in enumerate(endings):
        if ending is not None:
            if ending.in_doubt and ending.outcome is not Outcome.UNKNOWN:
                ledger.mark(row)
            ledger.name(row)
            ledger.settle(row, ending.outcome, ending.cause)
    return ledger


NO_RELAY = Relay(host="127.0.0.1", port=1, tls=Tls.NONE)


class FinishedBatch:
    """The store of a batch over `addresses`, whose slices are filed one by one."""

    def __init__(self, store: Store, snapshot: Snapshot, surroundings: Surroundings) -> None:
        self.store = store
        self.snapshot = snapshot
        self.files: list[str] = []
        self.beats = 0
        self._surroundings = surroundings

    @classmethod
    async def over(cls, folder: Path, addresses: Sequence[str]) -> FinishedBatch:
        """A batch over a list of these addresses, nobody settled yet."""
        folder.mkdir(exist_ok=True)
        location = folder / "list.csv"
        location.write_text("".join(f"{address}\n" for address in ("email", *addresses)))
        store = Store(folder / "store")
        client = await Client.connect("127.0.0.1:1", lazy=True)
        scan = await take_snapshot(store, location)
        return cls(store, scan.snapshot, Surroundings(client, Settings(_env_file=None), store, NO_RELAY))

    async def file(self, first: int, endings: Sequence[Ending | None], *nonces: str) -> str:
        """Write a slice's outcome file, as its result names it."""
        record = ledger_of(first, endings, *nonces).outcomes()
        name = f"batches/{BATCH}/outcomes/{first}-{first + len(endings) - 1}/{len(self.files)}"
        await self.store.put(name, record.model_dump_json().encode())
        self.files.append(name)
        return name

    async def keep_words(self, first: int, last: int, nonce: str, *words: tuple[int, str]) -> None:
        """Write what the relay said to one attempt."""
        content = "\n".join(json.dumps(line) for line in words).encode()
        await self.store.put(f"batches/{BATCH}/words/{first}-{last}/{nonce}", content)

    async def report(
        self, *, status: Status = Status.COMPLETED, resent: int = 0, facts: ListFacts | None = None
    ) -> BatchResult:
        """Run the activity."""
        task = ReportTask(
            batch=BATCH,
            snapshot=self.snapshot.id,
            files=tuple(self.files),
            resent=resent,
            facts=facts,
            status=status,
            started=STARTED,
            settled=STARTED + timedelta(seconds=90),
        )
        environment = ActivityEnvironment()
        environment.on_heartbeat = self._beat
        return await environment.run(WriteReport(self._surroundings).write_report, task)

    async def table(self) -> list[dict[str, str]]:
        """The report as a program reads it."""
        text = (await self.store.get(f"batches/{BATCH}/report.csv")).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def _beat(self, *details: object) -> None:
        self.beats += 1

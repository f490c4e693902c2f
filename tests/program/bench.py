"""A bench for whole batches: real worker processes, a real server, a relay whose record is the truth."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from batchmail.batch.ids import mail_token
from batchmail.batch.options import BatchOptions, BatchRequest
from batchmail.batch.progress import Progress
from batchmail.batch.result import BatchResult
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.message.source import read_message, save_message
from batchmail.store import Store
from tests.relays import Behaviour, Fault, RelayProcess

CHECKOUT = Path(__file__).resolve().parents[2]
DEATHS_NOTICED = timedelta(seconds=5)
"""A heartbeat time-out for tests in which a worker dies: soon over, yet longer than a disk now and then
stalls, which would supersede attempts that nobody killed. All others have the usual one."""

RETRY_INTERVAL = timedelta(seconds=0.2)

KEPT_OR_NOT = pytest.mark.parametrize("cached_workflows", ["100", "0"], ids=["kept", "not kept"])
"""For tests that must hold also where a worker keeps no workflow in memory: each task replays its history."""

T = TypeVar("T")

Handle = WorkflowHandle[Any, BatchResult]


class Row(NamedTuple):
    """A row of report.csv."""

    line: str
    address: str
    outcome: str
    code: str
    enhanced_code: str
    reason: str
    in_doubt: str
    relay_said: str


class WorkerProcess:
    """worker.py as its users run it; `arm`: the moment at which it dies or freezes (activities/events.py);
    `under`: a command that runs it."""

    def __init__(
        self,
        environment: dict[str, str],
        log: Path,
        arm: str = "",
        arguments: str = "",
        under: Sequence[str] = (),
    ) -> None:
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*under, sys.executable, str(CHECKOUT / "worker.py"), *arguments.split()],
                cwd=log.parent,
                env=os.environ | environment | ({"BATCH_ARM": arm} if arm else {}),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.pid = self._process.pid

    async def serves(self) -> None:
        """Until it serves its task queue."""
        await self.says("serving task queue")

    async def says(self, text: str) -> None:
        """Until it has logged this."""
        await asyncio.to_thread(self._wait, lambda: text in self.log())

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def ended(self, seconds: float = 60) -> int:
        """Its exit code (negative: the signal that ended it), once it has ended."""
        return await asyncio.to_thread(self._process.wait, seconds)

    async def frozen(self) -> None:
        """Until it has stopped itself (SIGSTOP)."""
        stat = Path(f"/proc/{self.pid}/stat")
        await asyncio.to_thread(self._wait, lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)

    def _wait(self, reached: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not reached():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the worker is not as it should be:\n{self._log.read_text()}")
            time.sleep(0.01)


class Bench:
    """One store, one task queue, one relay."""

    def __init__(
        self,
        client: Client,
        address: str,
        folder: Path,
        relay: RelayProcess,
        behaviour: Behaviour,
        cached_workflows: str,
        store: Store | None = None,
    ) -> None:
        self.client = client
        self.relay = relay
        self.behaviour = behaviour
        self.folder = folder
        self.store = store or Store(folder / "store")
        # Folders of two processes that share the tests may have one name, and the server may be theirs too.
        self.batch = f"batch-{folder.name}-{os.getpid()}"
        self.queue = f"queue-{folder.name}-{os.getpid()}"
        self._workers: list[WorkerProcess] = []
        self.environment = {
            "TEMPORAL_ADDRESS": address,
            "BATCH_STORE": str(self.store),
            "BATCH_TASK_QUEUE": self.queue,
            "BATCH_CACHED_WORKFLOWS": cached_workflows,
            "SMTP_HOST": relay.host,
            "SMTP_PORT": str(relay.port),
        }

    async def worker(
        self, arm: str = "", arguments: str = "", under: Sequence[str] = (), **settings: str
    ) -> WorkerProcess:
        """Start a worker and wait until it serves."""
        started = self.launch(arm, arguments, under, **settings)
        await started.serves()
        return started

    def launch(
        self, arm: str = "", arguments: str = "", under: Sequence[str] = (), **settings: str
    ) -> WorkerProcess:
        """Start a worker, whatever becomes of it."""
        log = self.folder / f"worker-{len(self._workers)}.log"
        started = WorkerProcess(self.environment | settings, log, arm, arguments, under)
        self._workers.append(started)
        return started

    async def request(self, recipients: int, **options: Any) -> BatchRequest:
        """A list of `recipients` in the store, and a message."""
        emails = self.folder / f"emails-{recipients}.csv"
        with emails.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["email", "First Name"])
            rows.writerows([address(number), f"Reader {number}"] for number in range(1, recipients + 1))
        text = self.folder / "message.txt"
        text.write_text(
            "---\nsubject: News for {{ first_name }}\nfrom: News <news@sender.example>\n---\n"
            "Dear {{ first_name }},\nthe news.\n"
        )
        scan = await take_snapshot(self.store, emails)
        message = read_message(text)
        await save_message(self.store, message)
        options.setdefault("retry_interval", RETRY_INTERVAL)
        return BatchRequest(snapshot=scan.snapshot.id, message=message.id, options=BatchOptions(**options))

    async def start(self, recipients: int, batch: str | None = None, **options: Any) -> Handle:
        """Start a batch, as any program would."""
        request = await self.request(recipients, **options)
        return await self.client.start_workflow(
            "BatchEmailWorkflow",
            request,
            id=batch or self.batch,
            task_queue=self.queue,
            result_type=BatchResult,
        )

    async def start_at(self, emails: Path) -> Handle:
        """Start a batch of the list at this location, there or not."""
        return await self.client.start_workflow(
            "BatchEmailWorkflow",
            {"list": str(emails), "message_location": str(self.folder / "message.txt")},
            id=f"by-location-{self.folder.name}",
            task_queue=self.queue,
            result_type=BatchResult,
        )

    def report(self, result: BatchResult) -> list[Row]:
        """report.csv without its header."""
        report = in_another_loop(self.store.get(result.report.removeprefix(f"{self.store}/"))).decode()
        return [Row(*row) for row in list(csv.reader(io.StringIO(report, newline="")))[1:]]

    def accepted(self) -> Counter[str]:
        """How often the relay accepted each recipient: the truth."""
        return Counter(entry.recipient for entry in self.relay.record())

    async def all_connections_closed(self, seconds: float = 60) -> None:
        """Until the relay has seen the end of every connection: it has heard all that was sent."""
        async with asyncio.timeout(seconds):
            while self._connections_open():  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.01)

    def _connections_open(self) -> int:
        events = Counter(event.event for event in self.relay.events())
        return events["connected"] - events["closed"]

    def assert_the_promise(self, result: BatchResult) -> list[Row]:
        """Nobody lost, nobody silently mailed twice; report and relay agree row by row. Who was accepted has
        a Message-ID of his own, and nothing was said out of order."""
        rows = self.report(result)
        accepted = self.accepted()
        assert len(rows) == result.total
        for row in rows:
            times = accepted[row.address]
            assert row.outcome in ("sent", "rejected", "expired", "unknown", "suppressed"), row
            assert row.outcome != "sent" or times >= 1, f"reported sent, never accepted: {row}"
            assert times <= 1 or row.in_doubt == "yes", f"accepted {times} times, silently: {row}"
            assert times == 0 or row.outcome in ("sent", "unknown"), f"accepted, yet {row}"
        of_this_batch = {
            entry.message_id.strip("<").partition("@")[0]: entry for entry in self.relay.record()
        }
        for row in rows:
            own = mail_token(result.batch_id, row.address)
            assert not accepted[row.address] or of_this_batch[own].recipient == row.address, row
        assert not [event for event in self.relay.events() if event.event == "out_of_order"]
        assert result.in_doubt_resent >= sum(max(0, accepted[row.address] - 1) for row in rows)
        counted = Counter(row.outcome for row in rows)
        assert counted["sent"] == result.sent
        assert counted["unknown"] == result.unknown
        return rows

    def assert_everyone_once(self, result: BatchResult) -> None:
        """The promise, and better: everyone was sent to, nobody twice, nobody is in doubt."""
        rows = self.assert_the_promise(result)
        assert result.sent == result.total
        assert {row.in_doubt for row in rows} == {"no"}
        assert set(self.accepted().values()) == {1}

    def most_connections(self) -> int:
        """How many connections the relay had open at once."""
        steps = ({"connected": 1, "closed": -1}.get(event.event, 0) for event in self.relay.events())
        return max(accumulate(steps), default=0)

    def stop(self) -> None:
        """End every worker."""
        for worker in self._workers:
            worker.stop()


async def waiting(handle: Handle) -> Progress:
    """The batch's progress, once it says that it waits for something. A look that fails is taken again."""
    async with asyncio.timeout(60):
        while True:
            with suppress(RPCError, WorkflowQueryFailedError):
                progress: Progress = await handle.query("progress", result_type=Progress)
                if progress.waiting:
                    return progress
            await asyncio.sleep(0.1)


def held_after(mails: int) -> Behaviour:
    """The relay answers so many bodies, and the others when it is told to: a batch that is on its way stays
    so until the test has done what it does to it, however long that takes."""
    return Behaviour(faults=(Fault(stage="dot", do="hold", skip=mails),))


def in_another_loop(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, for whoever cannot await it."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def shown_to(number: int) -> bytes:
    """What the list's recipient `number` (from 1) is to see of the bench's message."""
    return (
        f"To: {address(number)}\r\nSubject: News for Reader {number}\r\n\r\n"
        f"Dear Reader {number},\r\nthe news.\r\n"
    ).encode()


def address(number: int) -> str:
    """The address of the list's recipient `number` (from 1)."""
    return f"reader-{number}@example.com"

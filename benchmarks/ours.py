"""Batches as a program starts them: worker.py serves in a process of its own, the server is embedded."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batchmail.batch.options import BatchOptions, BatchRequest
from batchmail.batch.result import BatchResult
from batchmail.engine.connect import connect
from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import LOOPBACK, any_free
from batchmail.engine.server_process import ServerFiles, read
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.message.source import read_message, save_message
from batchmail.settings import read_settings
from batchmail.store import Store
from benchmarks.answers import ask
from benchmarks.mailing import Mailing
from benchmarks.processes import CHECKOUT, BenchmarkError, cpu_seconds, peak_megabytes, started

LONGEST_BATCH = 600.0  # seconds
PUBLISHED_EVERY = 1.5  # seconds, with some to spare
_QUEUE = "benchmark"
_HEARTBEATS = re.compile(
    r'^service_requests\{[^}]*operation="RecordActivityTaskHeartbeat",service_name="frontend"[^}]*\} (\S+)$',
    re.MULTILINE,
)


class OurRun(NamedTuple):
    """What one batch came to.

    `mailing`: seconds from the workflow's start to the last recipient settled. `whole`: from the call that
    starts the workflow to its result, report included. `heartbeats`: as the server counts them.
    """

    mailing: float
    whole: float
    events: int
    history_bytes: int
    worker_cpu: float
    server_cpu: float
    heartbeats: int = 0


class Place(NamedTuple):
    """A server, a worker that serves there, and their store."""

    address: str
    server: int
    metrics: str
    worker: int
    store: Store

    def peak_megabytes(self) -> float:
        """The most memory the worker has held."""
        return peak_megabytes(self.worker)

    def mail(self, mailing: Mailing, connections: int, name: str) -> OurRun:
        """Mail a batch. Raises BenchmarkError unless everybody was mailed exactly once, and each only after
        a heartbeat that named them: one acknowledgement allows one transaction a connection."""
        before = self._heartbeats()
        run = asyncio.run(asyncio.wait_for(self._mail(mailing, connections, name), LONGEST_BATCH))
        run = run._replace(heartbeats=self._heartbeats() - before)
        if run.heartbeats * connections < mailing.recipients:
            raise BenchmarkError(
                f"{run.heartbeats:,} heartbeats cannot have allowed {mailing.recipients:,} mails "
                f"over {connections} connections"
            )
        return run

    async def _mail(self, mailing: Mailing, connections: int, name: str) -> OurRun:
        scan = await take_snapshot(self.store, mailing.list)
        message = read_message(mailing.message)
        await save_message(self.store, message)
        request = BatchRequest(
            snapshot=scan.snapshot.id, message=message.id, options=BatchOptions(connections=connections)
        )
        client = await connect(address=self.address)
        worker, server = cpu_seconds(self.worker), cpu_seconds(self.server)
        start = time.perf_counter()
        handle = await client.start_workflow(
            "BatchEmailWorkflow", request, id=name, task_queue=_QUEUE, result_type=BatchResult
        )
        result = await handle.result()
        whole = time.perf_counter() - start
        worker, server = cpu_seconds(self.worker) - worker, cpu_seconds(self.server) - server
        if (result.sent, result.in_doubt_resent) != (mailing.recipients, 0):
            raise BenchmarkError(f"a batch of {mailing.recipients:,} recipients ended with {result}")
        found = await handle.describe()
        return OurRun(
            mailing=result.seconds,
            whole=whole,
            events=found.history_length,
            history_bytes=found.raw_description.workflow_execution_info.history_size_bytes,
            worker_cpu=worker,
            server_cpu=server,
        )

    def _heartbeats(self) -> int:
        """How many the server has counted; it publishes its counts about once a second."""
        earlier, found = -1, self._published()
        while found != earlier:
            time.sleep(PUBLISHED_EVERY)
            earlier, found = found, self._published()
        return found

    def _published(self) -> int:
        return int(sum(map(float, _HEARTBEATS.findall(ask(self.metrics)))))


@contextmanager
def place(folder: Path, relay: int) -> Iterator[Place]:
    """The embedded server and one worker that mails through the relay's port, as its user runs it."""
    state, store = folder / "state", Store(folder / "store")
    cli = read_settings().batch_temporal_cli
    with DevServer(state, lambda text: print(text, flush=True), cli=cli, usual=any_free()) as server:
        settings = {
            "TEMPORAL_ADDRESS": server.address,
            "BATCH_STORE": str(store.root),
            "BATCH_TASK_QUEUE": _QUEUE,
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(relay),
        }
        log = folder / "worker.log"
        with started(
            [sys.executable, str(CHECKOUT / "worker.py")],
            folder,
            name="worker",
            ready=lambda: log.exists() and "serving task queue" in log.read_text(),
            settings=settings,
        ) as worker:
            files = ServerFiles(state)
            living = read(files)
            metrics = re.search(r"http://\S+/metrics", files.log.read_text())
            if living is None or metrics is None:
                raise BenchmarkError(f"the server does not say its pid and metrics: see {files.log}")
            yield Place(server.address, living.pid, metrics[0], worker.pid, store)

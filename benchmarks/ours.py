"""Batches as a program starts them: worker.py serves in a process of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from batchmail.batch.options import BatchOptions, BatchRequest
from batchmail.batch.result import BatchResult
from batchmail.engine.connect import connect
from batchmail.engine.ports import LOOPBACK
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.message.source import read_message, save_message
from batchmail.store import Store
from benchmarks.engines import Engine, Start
from benchmarks.mailing import Mailing
from benchmarks.processes import CHECKOUT, BenchmarkError, Running, cpu_seconds, peak_megabytes, started

LONGEST_BATCH = 600.0  # seconds
_QUEUE = "benchmark"
_HEARTBEAT = "RecordActivityTaskHeartbeat"
_BILLED_CALLS = ("StartWorkflowExecution", "SignalWorkflowExecution", "QueryWorkflow", _HEARTBEAT)
_BILLED_EVENTS = (
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
)


class OurRun(NamedTuple):
    """What one batch came to.

    `mailing`: seconds from the workflow's start to the last recipient settled. `whole`: from the call that
    starts the workflow to its result, report included. `heartbeats`: as the server counts them. `actions`:
    what Temporal Cloud would bill (https://docs.temporal.io/cloud/actions), that is the start, activities,
    heartbeats, queries, signals, timers and upserts of search attributes. `wal`, `growth`: octets that the
    database has written to its log, and has grown by.
    """

    mailing: float
    whole: float
    events: int
    history_bytes: int
    worker_cpu: float
    server_cpu: float
    events_billed: int
    heartbeats: int = 0
    actions: int = 0
    wal: int = 0
    growth: int = 0


class Place(NamedTuple):
    """A server, a worker that serves there, and their store."""

    engine: Engine
    worker: int
    store: Store

    def peak_megabytes(self) -> float:
        """The most memory the worker has held."""
        return peak_megabytes(self.worker)

    def mail(self, mailing: Mailing, connections: int, name: str) -> OurRun:
        """Mail a batch. Raises BenchmarkError unless everybody was mailed exactly once, and each only after
        a heartbeat that named them: one acknowledgement allows one transaction a connection."""
        written, before = self.engine.written(), self.engine.requests()
        run = asyncio.run(asyncio.wait_for(self._mail(mailing, connections, name), LONGEST_BATCH))
        calls = self.engine.requests() - before
        wal, held = self.engine.written()
        run = run._replace(
            heartbeats=calls[_HEARTBEAT],
            actions=run.events_billed + sum(calls[call] for call in _BILLED_CALLS),
            wal=wal - written.wal,
            growth=held - written.held,
        )
        if run.heartbeats * connections < mailing.recipients:
            raise BenchmarkError(
                f"{run.heartbeats:,} heartbeats cannot have allowed {mailing.recipients:,} mails "
                f"over {connections} connections"
            )
        return run

    async def _mail(self, mailing: Mailing, connections: int, name: str) -> OurRun:
        request = await stored(self.store, mailing, connections)
        client = await connect(address=self.engine.address)
        worker, server = cpu_seconds(self.worker), self.engine.cpu_seconds()
        start = time.perf_counter()
        handle = await begun(client, request, name)
        result = await handle.result()
        whole = time.perf_counter() - start
        worker, server = cpu_seconds(self.worker) - worker, self.engine.cpu_seconds() - server
        if (result.sent, result.in_doubt_resent) != (mailing.recipients, 0):
            raise BenchmarkError(f"a batch of {mailing.recipients:,} recipients ended with {result}")
        found = await handle.describe()
        billed = [event.event_type in _BILLED_EVENTS async for event in handle.fetch_history_events()]
        return OurRun(
            mailing=result.seconds,
            whole=whole,
            events=found.history_length,
            history_bytes=found.raw_description.workflow_execution_info.history_size_bytes,
            worker_cpu=worker,
            server_cpu=server,
            events_billed=sum(billed),
        )


async def stored(store: Store, mailing: Mailing, connections: int) -> BatchRequest:
    """The request to mail this, with list and message in the store."""
    scan = await take_snapshot(store, mailing.list)
    message = read_message(mailing.message)
    await save_message(store, message)
    return BatchRequest(
        snapshot=scan.snapshot.id, message=message.id, options=BatchOptions(connections=connections)
    )


async def begun(client: Client, request: BatchRequest, name: str) -> WorkflowHandle[Any, BatchResult]:
    """The batch, as any program starts it."""
    return await client.start_workflow(
        "BatchEmailWorkflow", request, id=name, task_queue=_QUEUE, result_type=BatchResult
    )


@contextmanager
def place(folder: Path, relay: int, start: Start, settings: dict[str, str] | None = None) -> Iterator[Place]:
    """A server and one worker that mails through the relay's port, as its user runs it."""
    store = Store(folder / "store")
    with start(folder) as engine, serving(folder, "worker", engine, store, relay, settings) as worker:
        yield Place(engine, worker.pid, store)


@contextmanager
def serving(
    folder: Path,
    name: str,
    engine: Engine,
    store: Store,
    relay: int,
    settings: dict[str, str] | None = None,
) -> Iterator[Running]:
    """A worker, from the moment it serves, that mails through the relay's port."""
    log = folder / f"{name}.log"
    with started(
        [sys.executable, str(CHECKOUT / "worker.py")],
        folder,
        name=name,
        ready=lambda: log.exists() and "serving task queue" in log.read_text(),
        settings={
            "TEMPORAL_ADDRESS": engine.address,
            "BATCH_STORE": str(store),
            "BATCH_TASK_QUEUE": _QUEUE,
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(relay),
            **(settings or {}),
        },
    ) as running:
        yield running

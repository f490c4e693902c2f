"""Serve batches: connect to Temporal, mail through the relay, until SIGTERM or SIGINT.

    SMTP_HOST=mail.example.com python worker.py       more settings: README, also from .env

A stop is clean: no new work is taken, slices hand back what they have not mailed, what is in flight is
settled, and nobody is left in doubt where the relay answers within the grace time (BATCH_GRACE).
"""

from batchmail.interpreter import use_project_interpreter

use_project_interpreter(__file__)

import argparse  # noqa: E402
import asyncio  # noqa: E402
import gc  # noqa: E402
import logging  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections.abc import AsyncIterator  # noqa: E402
from contextlib import asynccontextmanager  # noqa: E402
from datetime import timedelta  # noqa: E402

import uvloop  # noqa: E402
from temporalio.client import Client  # noqa: E402
from temporalio.worker import Worker  # noqa: E402
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions  # noqa: E402

from activities.notify_admin import NotifyAdmin  # noqa: E402
from activities.open_batch import OpenBatch  # noqa: E402
from activities.send_slice import SendSlice  # noqa: E402
from activities.snapshot_list import SnapshotList  # noqa: E402
from activities.surroundings import Surroundings  # noqa: E402
from activities.write_report import WriteReport  # noqa: E402
from batchmail.engine.connect import connect  # noqa: E402
from batchmail.engine.core_logs import forward_core_logs  # noqa: E402
from batchmail.engine.leaving import leave  # noqa: E402
from batchmail.engine.log_lines import LINE, LogLine  # noqa: E402
from batchmail.errors import BatchmailError, SettingsError  # noqa: E402
from batchmail.settings import Relay, Settings, read_settings  # noqa: E402
from batchmail.store import Store  # noqa: E402
from workflows.batch_email import BatchEmailWorkflow  # noqa: E402

log = logging.getLogger("worker")

WORKFLOW_RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "workflows", "batchmail", "pydantic", "pydantic_core"
    )
)
"""Our modules are loaded once, not anew from the disk for every workflow: whoever installs a new version
under a running worker does not change the workflows it runs. The replay tests run the same."""

STICKY = timedelta(seconds=2)
"""How long a workflow's tasks and queries wait for the worker that has it, before others get them."""

GC_THRESHOLD = 100_000
"""A slice makes objects by the ten thousand and hardly a cycle; looking for cycles after every 700, as Python
does unless told otherwise, costs a fifth of the CPU."""


@asynccontextmanager
async def working(client: Client, settings: Settings, relay: Relay) -> AsyncIterator[None]:
    """Serve batches while inside; on the way out slices hand back, within the grace time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    here = Surroundings(client, settings, Store(settings.store_location), relay)
    worker = Worker(
        client,
        task_queue=settings.batch_task_queue,
        workflows=[BatchEmailWorkflow],
        activities=[
            SnapshotList(here).snapshot_list,
            OpenBatch(here).open_batch,
            SendSlice(here).send_slice,
            WriteReport(here).write_report,
            NotifyAdmin(here).notify_admin,
        ],
        workflow_runner=WORKFLOW_RUNNER,
        max_cached_workflows=settings.batch_cached_workflows,
        sticky_queue_schedule_to_start_timeout=STICKY,
        graceful_shutdown_timeout=settings.batch_grace,
    )
    async with worker:
        yield


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError, EngineError."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    relay = settings.relay
    if relay is None:
        raise SettingsError(
            "SMTP_HOST is not set: name the relay that this worker mails through "
            "(`starter.py --dev` needs none, it brings a local mailbox)."
        )
    connecting = asyncio.ensure_future(connect())
    stopped = asyncio.ensure_future(stopping.wait())
    await asyncio.wait((connecting, stopped), return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        connecting.cancel()
        return
    async with working(await connecting, settings, relay):
        log.info("serving task queue %s, mailing through %s", settings.batch_task_queue, relay)
        await stopped
        log.info("stopping: slices hand back")
    log.info("stopped")


def keep_logs(*, debug: bool) -> None:
    """Log to stderr: a line an event; with `debug` everything."""
    forward_core_logs()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LINE) if debug else LogLine())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])


def main() -> int:
    """Run the worker; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="worker.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--debug", action="store_true", help="log everything, tracebacks and addresses too")
    options = parser.parse_args()
    keep_logs(debug=options.debug)
    try:
        uvloop.run(serve(read_settings()))
    except BatchmailError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main())

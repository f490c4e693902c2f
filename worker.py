"""Serve batches: connect to Temporal, mail through the relay, until SIGTERM or SIGINT.

    SMTP_HOST=mail.example.com python worker.py       more settings: README, also from .env

A stop is clean: no new work is taken, slices hand back what they have not mailed, what is in flight is
settled, and nobody is left in doubt where the relay answers within three quarters of BATCH_GRACE.
"""

from batchmail.interpreter import use_project_interpreter

use_project_interpreter(__file__)

import sys  # noqa: E402

if __name__ == "__main__" and sys.argv[1:] == ["--check"]:
    # Asked every few seconds, by whoever runs the worker: so nothing else is loaded before.
    from batchmail.engine.health import check

    sys.exit(check())

import argparse  # noqa: E402
import asyncio  # noqa: E402
import gc  # noqa: E402
import logging  # noqa: E402
import signal  # noqa: E402
from collections.abc import AsyncIterator  # noqa: E402
from contextlib import asynccontextmanager  # noqa: E402
from datetime import timedelta  # noqa: E402
from functools import partial  # noqa: E402

import uvloop  # noqa: E402
from temporalio import activity, workflow  # noqa: E402
from temporalio.client import Client  # noqa: E402
from temporalio.runtime import Runtime  # noqa: E402
from temporalio.worker import Worker  # noqa: E402
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions  # noqa: E402

from activities.beating import EVERY  # noqa: E402
from activities.notify_admin import NotifyAdmin  # noqa: E402
from activities.open_batch import OpenBatch  # noqa: E402
from activities.send_slice import SendSlice  # noqa: E402
from activities.snapshot_list import SnapshotList  # noqa: E402
from activities.surroundings import Surroundings  # noqa: E402
from activities.write_report import WriteReport  # noqa: E402
from batchmail.engine.connect import connect  # noqa: E402
from batchmail.engine.health import Health, health_endpoint  # noqa: E402
from batchmail.engine.json_lines import JsonLine  # noqa: E402
from batchmail.engine.leaving import leave  # noqa: E402
from batchmail.engine.log_lines import LINE, LogLine  # noqa: E402
from batchmail.engine.metrics import Metrics  # noqa: E402
from batchmail.engine.probe import why_no_answer  # noqa: E402
from batchmail.engine.runtime import prepare_runtime  # noqa: E402
from batchmail.engine.versioning import deployment_config  # noqa: E402
from batchmail.errors import BatchmailError, SettingsError  # noqa: E402
from batchmail.settings import Relay, Settings, read_settings  # noqa: E402
from batchmail.store import Store  # noqa: E402
from workflows.batch_email import BatchEmailWorkflow  # noqa: E402

log = logging.getLogger("worker")

WORKFLOW_RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "workflows", "batchmail", "pydantic", "pydantic_core", "opentelemetry"
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
    metrics = Metrics(
        Runtime.default().metric_meter, namespace=client.namespace, queue=settings.batch_task_queue
    )
    here = Surroundings(client, settings, Store(settings.store_location), relay, metrics=metrics)
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
        max_concurrent_activities=settings.batch_slices,
        max_heartbeat_throttle_interval=EVERY,
        deployment_config=deployment_config(settings),
        sticky_queue_schedule_to_start_timeout=STICKY,
        # Else the worker that has the workflow is given all its slices, and others wait in vain.
        disable_eager_activity_execution=True,
        graceful_shutdown_timeout=settings.batch_grace,
    )
    encrypted = settings.batch_encryption_keys is not None
    async with here.search_attributes.prepared(client, encrypted=encrypted), worker:
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
    health = Health()
    async with health_endpoint(settings.batch_health_address, health):
        connecting = asyncio.ensure_future(connect())
        stopped = asyncio.ensure_future(stopping.wait())
        await asyncio.wait((connecting, stopped), return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            connecting.cancel()
            return
        client = await connecting
        async with working(client, settings, relay):
            health.serving(partial(why_no_answer, client))
            log.info(
                "serving task queue %s, mailing through %s, store %s",
                settings.batch_task_queue,
                relay,
                settings.store_location,
            )
            await stopped
            health.stopping()
            log.info("stopping: slices hand back")
        log.info("stopped")


def keep_logs(*, debug: bool, as_json: bool) -> None:
    """Log to stderr: a line an event; with `debug` everything."""
    handler = logging.StreamHandler(sys.stderr)
    if as_json:
        # The objects say in fields of their own what the SDK would add to its messages.
        activity.logger.activity_info_on_message = False
        workflow.logger.workflow_info_on_message = False
        handler.setFormatter(JsonLine(debug=debug))
    else:
        handler.setFormatter(logging.Formatter(LINE) if debug else LogLine())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])


def main() -> int:
    """Run the worker; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="worker.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--debug", action="store_true", help="log everything, tracebacks and addresses too")
    parser.add_argument(
        "--check", action="store_true", help="ask the worker at BATCH_HEALTH_ADDRESS whether it is ready"
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="lines for people, or an object a line"
    )
    options = parser.parse_args()
    as_json = options.log_format == "json"
    keep_logs(debug=options.debug, as_json=as_json)
    try:
        settings = read_settings()
        prepare_runtime(settings.batch_metrics_address)
        uvloop.run(serve(settings))
    except BatchmailError as error:
        if as_json:
            log.error("%s", error)
        else:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    leave(main())

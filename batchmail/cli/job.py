"""The job: list and message, read and checked whole, before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from batchmail.batch.options import DEFAULT_GIVE_UP_AFTER, BatchOptions, BatchRequest
from batchmail.cli.screen import Screen
from batchmail.cli.wishes import Wishes
from batchmail.cli.words import near
from batchmail.errors import MessageError
from batchmail.lists.location import local_path
from batchmail.lists.read_list import ListReader
from batchmail.lists.snapshot import Snapshot, invalid_name
from batchmail.lists.take_snapshot import Scan, take_snapshot
from batchmail.message.compiled import CompiledMessage, compile_message
from batchmail.message.source import MessageSource, find_message, read_message
from batchmail.report.phrases import count
from batchmail.settings import Settings
from batchmail.store import Store

_SHOWN_INVALID = 10


class Job(NamedTuple):
    """What is to be mailed to whom, and how."""

    scan: Scan
    message: MessageSource
    compiled: CompiledMessage
    options: BatchOptions
    store: str
    """Where list and message are kept."""

    @property
    def snapshot(self) -> Snapshot:
        """The list."""
        return self.scan.snapshot

    @property
    def request(self) -> BatchRequest:
        """The workflow's input: ids and options, nobody's address and no text."""
        return BatchRequest(
            snapshot=self.snapshot.id,
            list_facts=self.snapshot.facts,
            message=self.message.id,
            options=self.options,
            store=self.store,
        )


async def read_job(wishes: Wishes, settings: Settings, store: Store, screen: Screen) -> Job:
    """Read and check everything the person gave; the list is in the store then, the message is not yet.

    Raises InputError, StoreError.
    """
    options = wishes.options(settings)
    path = local_path(wishes.list)
    message = read_message(
        wishes.message or _message_beside(path, wishes.email_column),
        subject=wishes.subject,
        sender=wishes.sender,
        default_sender=settings.mail_from,
    )
    with screen.during(f"Reading {path.name}") as tell:
        scan = await take_snapshot(
            store, path, email_column=wishes.email_column, progress=lambda rows: tell(count(rows, "row"))
        )
    compiled = compile_message(message, scan.snapshot.fields, scan.snapshot.list_name)
    return Job(scan, message, compiled, options, str(store))


def _message_beside(path: Path, email_column: str | None) -> Path:
    """The message beside the list; what is wrong with the list is said before that none lies there. A list
    that is whole is read once: a pipe cannot be read twice."""
    try:
        return find_message(path)
    except MessageError:
        with ListReader(path, email_column):
            raise


def show_job(job: Job, store: Store, screen: Screen) -> None:
    """Say what was read, the first ten rows that are left out with line and reason, and where all are."""
    snapshot = job.snapshot
    parts = [count(snapshot.total, "recipient")]
    if snapshot.duplicates:
        parts.append(f"{count(snapshot.duplicates, 'duplicate')} mailed once")
    if snapshot.invalid_rows:
        parts.append(f"{count(snapshot.invalid_rows, 'row')} left out:")
    screen.fact("list", f"{snapshot.list_name}: {', '.join(parts)}")
    for row in job.scan.invalid[:_SHOWN_INVALID]:
        screen.more(f"line {row.line}: {row.reason}", "yellow")
    if (more := snapshot.invalid_rows - _SHOWN_INVALID) > 0:
        screen.more(f"and {more:,} more: {near(store.path(invalid_name(snapshot.id)))}", "yellow")
    screen.fact("message", f"{job.message.name}: {job.message.subject}")
    screen.fact("from", job.message.sender)
    if not job.options.admins:
        screen.fact("admins", "nobody is told when it ends: set ADMIN_EMAIL or give --admin", "dim")
    if job.options.retry_delays is not None and job.options.give_up_after != DEFAULT_GIVE_UP_AFTER:
        screen.fact(
            "note",
            "BATCH_RETRY_DELAYS is set, and alone decides when somebody is given up: the time given for that "
            "goes unheeded",
            "yellow",
        )

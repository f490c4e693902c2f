"""Tell the admins something, once: a slice of its own, a row an admin.

The same protocol as for the recipients: the intent is committed before the mail's body leaves, and the
Message-ID is derived, so that a crash repeats at most one mail. Each notice has a name of its own, and under
it its ledgers and Message-IDs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from temporalio import activity

from activities.mails import Mails, check_batch
from activities.send_slice import carry_out
from activities.slice_run import SliceRun
from activities.surroundings import Surroundings
from batchmail.batch.ids import mail_token
from batchmail.batch.ledger import Ledger
from batchmail.batch.outcomes import Cause, Outcome
from batchmail.batch.places import batch_folder
from batchmail.batch.tasks import Notice, PartResult, TooManyRejected
from batchmail.errors import StoreError
from batchmail.message.source import load_message
from batchmail.relay.reasons import reason
from batchmail.relay.session import Envelope
from batchmail.report.admin_mail import Heads
from batchmail.report.endings import load_outcomes
from batchmail.report.failures import load_failures
from batchmail.report.notice import notice
from batchmail.report.notice_under_way import Subject, rejections_notice, wait_notice
from batchmail.report.receipt import save_receipt
from batchmail.store import Store

_MOST_REASONS = 5

Letter = Callable[[Heads], bytes]
"""The mail, by its headers."""


class NotifyAdmin:
    """The activity notify_admin."""

    def __init__(self, here: Surroundings) -> None:
        self._here = here

    @activity.defn(name="notify_admin")
    async def notify_admin(self, task: Notice) -> PartResult:
        """Mail it to the admins. Of a batch that has ended the receipt then says that they were told."""
        here = self._here
        folder = f"{batch_folder(task.part.batch)}/{task.name}"
        run = SliceRun(here, task.part, folder, lambda: self._load(task), key=task.name)
        await carry_out(here, run, settled=lambda result: self._receipt(task, result))

    async def _load(self, task: Notice) -> Mails:
        store = self._here.store
        await check_batch(store, task.part.batch)
        source = await load_message(store, task.part.message)
        letter = await _letter(store, task, source.subject)
        return NoticeMails(task, source.envelope_sender, letter)

    async def _receipt(self, task: Notice, result: PartResult) -> None:
        if task.result is not None and result.counts.get(Outcome.SENT):
            await save_receipt(self._here.store, task.result.model_copy(update={"admin_notified": True}))


class NoticeMails:
    """The admins' mails."""

    def __init__(self, task: Notice, sender: str, letter: Letter) -> None:
        self._task = task
        self._sender = sender
        self._letter = letter

    def envelope(self, row: int, eight_bit: bool) -> Envelope:
        to, sender = self._task.admins[row], self._sender
        token = mail_token(f"{self._task.part.batch}/{self._task.name}", to)
        message_id = f"<{token}@{sender.rpartition('@')[2]}>"
        data = self._letter(Heads(sender, to, message_id, datetime.now(UTC)))
        return Envelope(sender, to, data, len(data), not (to + sender).isascii())


async def _letter(store: Store, task: Notice, message_subject: str) -> Letter:
    """What this notice says. Raises StoreError where the store is out of reach."""
    about = Subject(task.part.batch, task.list_name, message_subject)
    if (asks := task.too_many_rejected) is not None:
        reasons = await _reasons(store, asks)
        return lambda heads: rejections_notice(about, asks.brake, asks.since, reasons, heads)
    if (wait := task.long_wait) is not None:
        return lambda heads: wait_notice(about, wait.waiting, wait.as_of, heads)
    if (result := task.result) is None:
        raise ValueError("a notice tells something")
    failures = await load_failures(store, task.part.batch)
    return lambda heads: notice(
        result, heads, list_name=task.list_name, message_subject=message_subject, failures=failures
    )


async def _reasons(store: Store, asks: TooManyRejected) -> list[tuple[str, int]]:
    """The most frequent reasons of the rejected, with recipients; a damaged file costs its reasons alone."""
    causes: Counter[Cause] = Counter()
    for name in asks.files:
        with suppress(StoreError):
            causes.update(Ledger.read(await load_outcomes(store, name)).refusals([Outcome.REJECTED]))
    said: Counter[str] = Counter()
    for cause, number in causes.items():
        said[reason(cause)] += number
    return said.most_common(_MOST_REASONS)

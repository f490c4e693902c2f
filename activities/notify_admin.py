"""Tell the admins that the batch has ended: a slice of its own, a row an admin.

The same protocol as for the recipients: the intent is committed before the mail's body leaves, and the
Message-ID is derived, so that a crash repeats at most one mail.
"""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio import activity

from activities.mails import Mails
from activities.send_slice import carry_out
from activities.slice_run import SliceRun
from activities.surroundings import Surroundings
from batchmail.batch.ids import mail_token
from batchmail.batch.outcomes import Outcome
from batchmail.batch.tasks import Notice, PartResult
from batchmail.message.source import MessageSource, load_message
from batchmail.relay.session import Envelope
from batchmail.report.failures import Failure, load_failures
from batchmail.report.notice import notice
from batchmail.report.receipt import save_receipt

NOTICE = "notice"


class NotifyAdmin:
    """The activity notify_admin."""

    def __init__(self, here: Surroundings) -> None:
        self._here = here

    @activity.defn(name="notify_admin")
    async def notify_admin(self, task: Notice) -> PartResult:
        """Mail the admins what the batch came to; the receipt then says that they were told."""
        here = self._here
        run = SliceRun(
            here, task.part, f"batches/{task.part.batch}/{NOTICE}", lambda: self._load(task), key=NOTICE
        )
        await carry_out(here, run, settled=lambda result: self._receipt(task, result))

    async def _load(self, task: Notice) -> Mails:
        store = self._here.store
        source = await load_message(store, task.part.message)
        return NoticeMails(task, source, await load_failures(store, task.part.batch))

    async def _receipt(self, task: Notice, result: PartResult) -> None:
        if result.counts.get(Outcome.SENT):
            await save_receipt(self._here.store, task.result.model_copy(update={"admin_notified": True}))


class NoticeMails:
    """The admins' mails."""

    def __init__(self, task: Notice, source: MessageSource, failures: tuple[Failure, ...]) -> None:
        self._task = task
        self._source = source
        self._failures = failures

    def envelope(self, row: int, eight_bit: bool) -> Envelope:
        to, sender = self._task.admins[row], self._source.envelope_sender
        token = mail_token(f"{self._task.part.batch}/{NOTICE}", to)
        data = notice(
            self._task.result,
            list_name=self._task.list_name,
            message_subject=self._source.subject,
            failures=self._failures,
            sender=sender,
            to=to,
            message_id=f"<{token}@{sender.rpartition('@')[2]}>",
            date=datetime.now(UTC),
        )
        return Envelope(sender, to, data, len(data), not (to + sender).isascii())

"""BatchEmailWorkflow: mail every recipient of a list, then write the report and tell the admins.

Its history holds counts, row ranges and names of outcome files; nobody's address and no text of the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import workflow

from batchmail.batch.options import ListFacts
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Control, Doing, Progress, Waiting
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.slices import Cut, fan_out
from batchmail.batch.tasks import ListLocation, Notice, Opened, Opening, Part, PartResult, ReportTask
from workflows import calls
from workflows.fan_out import Slices
from workflows.request import Request, refused

T = TypeVar("T")

NOTICE = "notice"
"""The name under which the admins' mail asks for control and says what it waits for."""


@workflow.defn(name="BatchEmailWorkflow")
class BatchEmailWorkflow:
    """One batch: one snapshot, one message. The workflow id is the batch id."""

    def __init__(self) -> None:
        self._request: Request
        self._doing = Doing.PREPARING
        self._total = 0
        self._cancelled = False
        self._slices: Slices | None = None
        self._notices: Slices | None = None

    @workflow.run
    async def run(self, request: Request | None = None) -> BatchResult:
        """Everything, to the end. A cancelled batch settles, reports and notifies too, then returns."""
        if request is None:
            raise refused("there is none: give a list and a message")
        self._request = request
        snapshot, facts = await self._snapshot()
        opened = await self._uncancelled(self._open(snapshot))
        self._total = opened.total
        result = opened.receipt or await self._mail_and_report(snapshot, facts, opened)
        if request.options.admins and not result.admin_notified:
            result = await self._notify(result, snapshot, facts.name if facts else opened.list_name, opened)
        self._say(Doing.DONE)
        return result

    @workflow.query
    def progress(self) -> Progress:
        """How far the batch is, as of the last slice that ended."""
        slices = self._slices
        if slices is None:
            return Progress(doing=self._doing, total=self._total, cancelled=self._cancelled)
        return Progress(
            doing=self._doing,
            total=self._total,
            settled=dict(slices.settled),
            deferred=slices.deferred,
            next_try=slices.next_try,
            slices_running=slices.running,
            slices_left=slices.left,
            waiting=tuple(one for all_of in self._under_way for one in all_of.waiting.values()),
            cancelled=self._cancelled,
        )

    @workflow.query
    def control(self, slice_range: str) -> Control:
        """What the batch wants of the slice of this row range: asked by its attempts."""
        of_notices = slice_range == NOTICE and self._notices is not None
        slices = self._notices if of_notices else self._slices
        return slices.control(slice_range) if slices is not None else Control()

    @workflow.signal
    def waiting(self, slice_range: str, what: Waiting | None) -> None:
        """A slice waits for something outside, or (None) no longer does."""
        for slices in self._under_way:
            slices.note(slice_range, what)
        self._say(self._doing)

    # The steps

    async def _snapshot(self) -> tuple[str, ListFacts | None]:
        request = self._request
        if request.snapshot is not None:
            return request.snapshot, request.list_facts
        taken = await calls.SNAPSHOT_LIST(
            ListLocation(location=request.list or "", email_column=request.email_column),
            summary="read the list",
            options=request.options,
        )
        return taken.snapshot, taken.facts

    async def _open(self, snapshot: str) -> Opened:
        request = self._request
        return await calls.OPEN_BATCH(
            Opening(
                batch=workflow.info().workflow_id,
                snapshot=snapshot,
                message=request.message,
                message_location=request.message_location,
                sender=request.sender,
                admins=request.options.admins,
                connections=request.options.connections,
                slice_size=request.options.slice_size,
            ),
            summary="open the batch",
            options=request.options,
        )

    async def _mail_and_report(self, snapshot: str, facts: ListFacts | None, opened: Opened) -> BatchResult:
        slices = await self._mail(snapshot, opened)
        settled = workflow.now()
        self._say(Doing.REPORTING)
        return await self._uncancelled(
            calls.WRITE_REPORT(
                ReportTask(
                    batch=workflow.info().workflow_id,
                    snapshot=snapshot,
                    files=tuple(slices.files),
                    resent=slices.resent,
                    facts=facts,
                    status=Status.CANCELLED if self._cancelled else Status.COMPLETED,
                    started=workflow.info().workflow_start_time,
                    settled=settled,
                ),
                summary=f"report on {opened.total:,} recipients",
                options=self._request.options,
            )
        )

    async def _mail(self, snapshot: str, opened: Opened) -> Slices:
        options = self._request.options
        cut = Cut(opened.total, opened.slice_size)
        plan = fan_out(cut, options.connections)

        async def send(part: Part) -> PartResult:
            again = " (again)" if part.ledger else ""
            return await calls.SEND_SLICE(
                part, summary=f"recipients {part.first:,}–{part.last:,}{again}", options=options
            )

        slices = self._slices = Slices(
            send=send, delays=options.retry_delays, plan=plan, changed=self._show_mailing
        )
        if self._cancelled:
            slices.cancel()
        self._show_mailing()
        await self._uncancelled(
            slices.run(
                Part(
                    batch=workflow.info().workflow_id,
                    snapshot=snapshot,
                    message=opened.message,
                    first=first,
                    last=last,
                    connections=plan.connections,
                    in_doubt=options.in_doubt,
                )
                for first, last in cut.ranges()
            )
        )
        return slices

    async def _notify(self, result: BatchResult, snapshot: str, name: str, opened: Opened) -> BatchResult:
        """The admins' mail is a slice of its own: a row an admin, each mailed once."""
        options = self._request.options
        admins = tuple(dict.fromkeys(options.admins))
        self._say(Doing.NOTIFYING)

        async def send(part: Part) -> PartResult:
            return await calls.NOTIFY_ADMIN(
                Notice(result=result, list_name=name, admins=admins, part=part),
                summary=f"tell {len(admins)} admin{'s' if len(admins) > 1 else ''}",
                options=options,
            )

        plan = fan_out(Cut(len(admins), len(admins)), 1)
        notices = self._notices = Slices(
            send=send,
            delays=options.retry_delays,
            plan=plan,
            changed=lambda: self._say(Doing.NOTIFYING),
            key=NOTICE,
        )
        part = Part(
            batch=result.batch_id,
            snapshot=snapshot,
            message=opened.message,
            first=1,
            last=len(admins),
            connections=1,
        )
        await self._uncancelled(notices.run([part]))
        return result.model_copy(update={"admin_notified": notices.settled[Outcome.SENT] > 0})

    # How it is done

    async def _uncancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, whole, also when the batch is cancelled meanwhile: then its slices settle early."""
        task = asyncio.create_task(work)
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():
                    raise
                self._cancelled = True
                for slices in self._under_way[-1:]:
                    slices.cancel()
                self._say(self._doing)

    @property
    def _under_way(self) -> list[Slices]:
        return [slices for slices in (self._slices, self._notices) if slices is not None]

    def _show_mailing(self) -> None:
        slices = self._slices
        idle = slices is not None and not slices.running and slices.deferred
        self._say(Doing.WAITING_TO_RETRY if idle else Doing.MAILING)

    def _say(self, doing: Doing) -> None:
        self._doing = doing
        workflow.set_current_details(self.progress().as_markdown())

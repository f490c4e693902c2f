"""BatchEmailWorkflow: mail every recipient of a list, then write the report and tell the admins.

Its history holds counts, row ranges and names of outcome files; nobody's address and no text of the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow

from batchmail.batch.carried import Begun, Told, unpack
from batchmail.batch.chains import Chain, fresh
from batchmail.batch.options import DEFAULT_MAX_REJECTED_PERCENT, ListFacts
from batchmail.batch.progress import Control, Doing, Progress, Waiting
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.slices import Cut, fan_out
from batchmail.batch.tasks import (
    ListLocation,
    Opened,
    Opening,
    Part,
    PartResult,
    ReportTask,
    TooManyRejected,
)
from workflows import calls
from workflows.fan_out import Slices
from workflows.hand_over import HandOver, carried_by, still_to_tell, take_up
from workflows.hold import Hold
from workflows.request import Request, refused
from workflows.shown import Shown
from workflows.telling import Telling

T = TypeVar("T")

FILES_LOOKED_AT = 20
"""For the most frequent reasons of the rejected: the newest outcome files."""

GOES_ON = "goes-on"
"""Batches too large for a new run, if twice told to hand over, waited for their notices and then went on."""


@workflow.defn(name="BatchEmailWorkflow")
class BatchEmailWorkflow:
    """One batch: one snapshot, one message. The workflow id is the batch id."""

    @workflow.init
    def __init__(self, request: Request | None = None) -> None:
        self._request: Request
        self._carried = carried = unpack(request.carried) if request and request.carried else None
        self._doing = Doing.PREPARING
        self._total = 0
        self._list_name = ""
        self._began: datetime | None = None
        self._settled: datetime | None = None
        self._as_of: datetime | None = None
        self._cancelled = carried is not None and carried.cancelled
        self._hold = Hold(
            request.options.max_rejected_percent if request else DEFAULT_MAX_REJECTED_PERCENT,
            paused=carried.paused if carried else None,
            accepted=carried is not None and carried.accepted,
            heeds_orders=carried is not None,
        )
        self._result: BatchResult | None = None
        self._shown = Shown()
        self._slices: Slices | None = None
        self._telling: Telling | None = None
        self._hand_over = HandOver()

    @workflow.run
    async def run(self, request: Request | None = None) -> BatchResult:
        """Everything, to the end. A cancelled batch settles, reports and notifies too, then returns."""
        if request is None:
            raise refused("there is none: give a list and a message")
        self._request = request
        begun = self._carried.begun if self._carried else await self._begin()
        opened, facts = begun.opened, begun.facts
        self._total, self._list_name = opened.total, facts.name if facts else opened.list_name
        self._shown.names = opened.search_attributes
        self._telling = telling = Telling(
            request.options,
            snapshot=begun.snapshot,
            message=opened.message,
            list_name=self._list_name,
            changed=lambda: self._say(self._doing),
        )
        self._result = result = opened.receipt or await self._mail_and_report(begun, telling)
        self._hold.end()
        await self._uncancelled(telling.quiet())
        if request.options.admins and not result.admin_notified:
            self._say(Doing.NOTIFYING)
            told = await self._uncancelled(telling.ended(result))
            result = result.model_copy(update={"admin_notified": told})
        self._say(Doing.DONE)
        return result

    @workflow.query
    def progress(self) -> Progress:
        """How far the batch is, as of the last slice that ended."""
        known = Progress(
            doing=self._doing,
            batch_id=workflow.info().workflow_id,
            list_name=self._list_name,
            total=self._total,
            waiting=tuple(one for all_of in self._under_way for one in all_of.waits),
            paused=self._hold.paused,
            cancelled=self._cancelled,
            took=self._took,
            as_of=self._as_of,
        )
        if result := self._result:
            ended = {"settled": result.settled, "cancelled": result.status is Status.CANCELLED}
            return known.model_copy(update=ended)
        if slices := self._slices:
            under_way = {
                "settled": dict(slices.settled),
                "deferred": slices.deferred,
                "next_try": slices.next_try,
                "slices_running": slices.running,
                "slices_left": slices.left,
            }
            return known.model_copy(update=under_way)
        return known

    @workflow.query
    def control(self, slice_range: str) -> Control:
        """What the batch wants of the slice of this row range: asked by its attempts."""
        if self._telling is not None and (notice := self._telling.under_way.get(slice_range)):
            return notice.control(slice_range)
        if (slices := self._slices) is None:
            return Control()
        brake = self._hold.brake(slices.settled)
        return slices.control(slice_range).model_copy(update={"brake": brake})

    @workflow.signal
    def waiting(self, slice_range: str, what: Waiting | None) -> None:
        """A slice waits for something outside, or (None) no longer does."""
        for slices in self._under_way:
            slices.note(slice_range, what)
        self._look_at_history()
        self._say(self._doing)

    @workflow.signal
    def pause(self) -> None:
        """Mail nobody new until `resume`, or a cancel: slices hand back. Nothing, where nobody is left."""
        if self._slices is not None and self._slices.spreads:
            self._hold.heeds_orders = True  # who knows of that change knows of orders
        if self._hold.by_operator():
            self._heed_hold()

    @workflow.signal
    def resume(self) -> None:
        """Go on. Where the batch paused by itself, it does not pause for that again."""
        if self._hold.resume():
            self._heed_hold()

    # The steps

    async def _begin(self) -> Begun:
        snapshot, facts = await self._snapshot()
        opened = await self._uncancelled(self._open(snapshot))
        started = workflow.info().workflow_start_time
        return Begun(snapshot=snapshot, facts=facts, opened=opened, started=started)

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
                store=request.store,
            ),
            summary="open the batch",
            options=request.options,
        )

    async def _mail_and_report(self, begun: Begun, telling: Telling) -> BatchResult:
        slices = await self._mail(begun, telling)
        self._hold.end()
        telling.drop()
        self._settled = workflow.now()
        self._say(Doing.REPORTING)
        return await self._uncancelled(
            calls.WRITE_REPORT(
                ReportTask(
                    batch=workflow.info().workflow_id,
                    snapshot=begun.snapshot,
                    files=tuple(slices.files),
                    resent=slices.resent,
                    facts=begun.facts,
                    status=Status.CANCELLED if self._cancelled else Status.COMPLETED,
                    started=begun.started,
                    settled=self._settled,
                ),
                summary=f"report on {begun.opened.total:,} recipients",
                options=self._request.options,
            )
        )

    async def _mail(self, begun: Begun, telling: Telling) -> Slices:
        carried, opened = self._carried, begun.opened
        self._began = carried.mailing_since if carried else workflow.now()
        options = self._request.options
        cut = Cut(opened.total, opened.slice_size)
        plan = fan_out(cut, options.connections)

        async def send(part: Part) -> PartResult:
            again = " (again)" if part.ledger else ""
            return await calls.SEND_SLICE(
                part, summary=f"recipients {part.first:,}–{part.last:,}{again}", options=options
            )

        batch = workflow.info().workflow_id
        whole = Part(
            batch=batch,
            snapshot=begun.snapshot,
            message=opened.message,
            first=1,
            last=opened.total,
            connections=plan.connections,
            in_doubt=options.in_doubt,
        )
        retries = options.retries(batch)
        slices = self._slices = Slices(
            whole=whole,
            send=send,
            retries=retries,
            plan=plan,
            changed=self._show_mailing,
            look=self._look,
        )
        chains: Sequence[Chain] = fresh(cut.ranges(), retries)
        if carried:
            chains = take_up(carried, slices)
        if self._cancelled:
            self._hold.end()
            slices.cancel()
        elif self._hold.paused:
            slices.pause()
        self._show_mailing()
        telling.take_up(still_to_tell(carried, self._hold) if carried else Told())
        while chains:
            await self._uncancelled(slices.run(chains))
            if chains := slices.take_left():
                await self._uncancelled(telling.quiet())
                state = carried_by(begun, self._began, self._cancelled, chains, slices, self._hold, telling)
                self._hand_over.to_a_new_run(self._request, state)
                telling.take_up(telling.told)
                if slices.dropped and workflow.patched(GOES_ON):
                    slices.dropped = False
        return slices

    def _look_at_history(self) -> None:
        """A history that has grown long is left to a new run, once every slice has handed back."""
        if self._slices is not None and self._settled is None and self._hand_over.is_due:
            self._slices.drop()
            if self._telling is not None:
                self._telling.hand_back()

    # Pauses

    def _heed_hold(self) -> None:
        """The batch was paused or resumed."""
        if (slices := self._slices) is not None:
            if self._hold.paused:
                slices.pause()
            else:
                slices.resume()
        if self._telling is not None and not self._hold.paused:
            self._telling.is_answered()
        self._say(self._doing)

    def _cancel(self) -> None:
        """Nobody new is mailed; where everybody is settled, no admin either."""
        self._cancelled = True
        self._hold.end()
        if self._slices is not None:
            self._slices.cancel()
        if self._telling is not None:
            if self._settled is None and self._result is None:
                self._telling.is_answered()
            else:
                self._telling.cancel()
        self._say(self._doing)

    def _look(self) -> None:
        """Before more is scheduled."""
        self._look_at_rejections()
        self._look_at_history()

    def _look_at_rejections(self) -> None:
        """Pause and ask where too many are rejected, before anybody else is mailed."""
        slices, telling = self._slices, self._telling
        if slices is None or telling is None or (brake := self._hold.too_many(slices.settled)) is None:
            return
        files = tuple(slices.files[-FILES_LOOKED_AT:])
        telling.asks(TooManyRejected(brake=brake, since=workflow.now(), files=files))
        self._heed_hold()

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
                self._cancel()

    @property
    def _took(self) -> timedelta:
        until = self._settled or self._as_of
        return until - self._began if until and self._began else timedelta(0)

    @property
    def _under_way(self) -> list[Slices]:
        slices = [] if self._slices is None else [self._slices]
        return slices if self._telling is None else [*slices, *self._telling.under_way.values()]

    def _show_mailing(self) -> None:
        slices = self._slices
        idle = slices is not None and not slices.running and slices.deferred
        self._say(Doing.WAITING_TO_RETRY if idle else Doing.MAILING)

    def _say(self, doing: Doing) -> None:
        self._doing, self._as_of = doing, workflow.now()
        if self._telling is not None:
            self._telling.look([one for all_of in self._under_way for one in all_of.waits])
        self._shown.show(self.progress())

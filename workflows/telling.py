"""What the admins are told: each notice is a slice of its own, a row an admin, each mailed once.

A notice under way never holds the batch up: before the batch tells its end, what has not left is handed back
and dropped. Nor does an admin whom the relay puts off keep others waiting: once one knows of the end, the
others are tried for a short time only; and the mail of a wait that one has and another has not gives way to
the mail of another wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from temporalio import workflow

from batchmail.batch.carried import Told, Untold
from batchmail.batch.chains import fresh
from batchmail.batch.options import BatchOptions
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Waiting
from batchmail.batch.result import BatchResult
from batchmail.batch.slices import Cut, fan_out
from batchmail.batch.tasks import LongWait, Notice, Part, PartResult, TooManyRejected
from workflows import calls
from workflows.fan_out import Slices
from workflows.troubles import Troubles

QUESTION, LONG_WAIT = "notice/rejections", "notice/wait"
"""How the names of notices begin that ask for an answer, and of those that tell of a wait."""

FOR_THE_OTHERS = timedelta(minutes=20)
"""How long admins whom the relay puts off are tried again once one knows that the batch has ended."""

ONE_KNOWS = "one-knows"
"""Batches that told one admin, and not another, before go on at the other as long as at any recipient."""


class Telling:
    """The notices of one batch; `changed` is called after every change that progress shows."""

    def __init__(
        self,
        options: BatchOptions,
        *,
        snapshot: str,
        message: str,
        list_name: str,
        changed: Callable[[], None],
    ) -> None:
        self._options = options
        self._admins = tuple(dict.fromkeys(options.admins))
        self._whole = Part(
            batch=workflow.info().workflow_id,
            snapshot=snapshot,
            message=message,
            first=1,
            last=len(self._admins),
            connections=1,
        )
        self._list_name = list_name
        self._changed = changed
        self._retries = options.retries(self._whole.batch)
        self._tasks: list[asyncio.Task[bool]] = []
        self._hands_over = False
        self._untold: dict[str, Untold] = {}
        self._troubles = Troubles(options.tell_after, self._waits)
        self.under_way: dict[str, Slices] = {}
        self._needless: set[str] = set()
        self._known: set[str] = set()

    async def ended(self, result: BatchResult) -> bool:
        """Tell that the batch has ended, and wait for it; whether any admin has the mail."""
        return await self._tell(self._new("it has ended", result=result))

    def asks(self, what: TooManyRejected) -> None:
        """Ask whether the batch is to go on; it is not waited for."""
        if self._admins:
            self._begin(self._new("too many were rejected", too_many_rejected=what))

    def look(self, waiting: Sequence[Waiting]) -> None:
        """This is what the batch waits for now, its notices included: it is told when that lasts."""
        if self._admins and not self._hands_over:
            mails = [slices for name, slices in self.under_way.items() if name.startswith(LONG_WAIT)]
            own = {id(one) for slices in mails for one in slices.waits}
            if own and workflow.patched(ONE_KNOWS):
                waiting = [one for one in waiting if id(one) not in own]  # no mail about a mail
            self._troubles.look(waiting)

    def is_answered(self) -> None:
        """What has been asked and has not left is not asked any more."""
        self._withdraw(self._not_left(QUESTION))

    def drop(self) -> None:
        """From now on nothing is told but the end."""
        self._hands_over = False
        self._troubles.end()
        for slices in self.under_way.values():
            slices.drop()

    def hand_back(self) -> None:
        """What has not left, and what else is to be told until the batch goes on, is kept in `told`."""
        self._hands_over = True
        for slices in self.under_way.values():
            slices.drop()

    @property
    def told(self) -> Told:
        """What has been told, and, once it is quiet, what has been handed back."""
        return Told(
            notices=tuple(self._untold.values()),
            troubles=tuple(sorted(self._troubles.told)),
            last=self._troubles.last_told,
        )

    def take_up(self, told: Told) -> None:
        """Go on from where this or an earlier run handed back."""
        self._hands_over, self._untold = False, {}
        self._troubles.told, self._troubles.last_told = set(told.troubles), told.last
        for one in told.notices:
            self._begin(one)

    def cancel(self) -> None:
        """Mail nobody new, not even an admin."""
        for slices in self.under_way.values():
            slices.cancel()

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        for task in self._tasks:
            await task

    # How it is done

    def _waits(self, waiting: Sequence[Waiting]) -> None:
        for one in waiting:
            workflow.logger.warning("the batch has waited since %s for: %s", one.since, one.what)
        if earlier := self._not_left(LONG_WAIT):
            if not self._known.issuperset(earlier) or not workflow.patched(ONE_KNOWS):
                return  # one that nobody has yet says it well enough: it is the relay that is waited for
            self._withdraw(earlier)
        told = LongWait(waiting=tuple(waiting), as_of=workflow.now())
        self._begin(self._new("it has waited long", long_wait=told))

    def _not_left(self, kind: str) -> list[str]:
        """The names of notices of this kind that not every admin has yet, and that are still to be told."""
        names = (*self.under_way, *self._untold)
        return [name for name in names if name.startswith(kind) and name not in self._needless]

    def _withdraw(self, names: Sequence[str]) -> None:
        """Whoever does not have these yet does not need them any more."""
        for name in names:
            self._needless.add(name)
            self._untold.pop(name, None)
            if slices := self.under_way.get(name):
                slices.drop()

    def _begin(self, one: Untold) -> None:
        self._tasks.append(asyncio.create_task(self._tell(one)))

    def _new(
        self,
        what: str,
        result: BatchResult | None = None,
        too_many_rejected: TooManyRejected | None = None,
        long_wait: LongWait | None = None,
    ) -> Untold:
        notice = Notice(
            result=result,
            too_many_rejected=too_many_rejected,
            long_wait=long_wait,
            list_name=self._list_name,
            admins=self._admins,
            part=self._whole,
        )
        chains = fresh([(1, len(self._admins))], self._retries)
        return Untold(notice=notice, what=what, chains=tuple(chains))

    async def _tell(self, one: Untold) -> bool:
        notice, what = one.notice, one.what
        people = len(self._admins)
        options = self._options

        async def send(part: Part) -> PartResult:
            result = await calls.NOTIFY_ADMIN(
                notice.model_copy(update={"part": part}),
                summary=f"tell {people} admin{'s' if people > 1 else ''}: {what}",
                options=options,
            )
            if result.counts.get(Outcome.SENT):
                self._known.add(notice.name)
            is_left_to_others = result.rest is not None and notice.name in self._known
            if notice.result is not None and is_left_to_others and workflow.patched(ONE_KNOWS):
                slices.retries = self._retries.for_at_most(FOR_THE_OTHERS)
            return result

        if one.known:
            self._known.add(notice.name)

        slices = self.under_way[notice.name] = Slices(
            whole=self._whole,
            send=send,
            retries=self._retries,
            plan=fan_out(Cut(people, people), 1),
            changed=self._changed,
            key=notice.name,
        )
        if self._hands_over:
            slices.drop()
        try:
            await slices.run(one.chains)
        finally:
            del self.under_way[notice.name]
        left = slices.take_left()
        if left and self._hands_over and notice.name not in self._needless:
            known = notice.name in self._known
            self._untold[notice.name] = one.model_copy(update={"chains": left, "known": known})
        sent = slices.settled[Outcome.SENT]
        if (missed := slices.settled.total() - sent) > 0:
            workflow.logger.warning("%s of %s admins were not told: %s", missed, people, what)
        return sent > 0

"""The shared heartbeat loop: group commit of a slice's ledger to Temporal.

While one heartbeat is on its way, intents and outcomes pile up and go with the next. Heartbeats are sent one
at a time, without retry and with a time-out; what their answers allow is the attempt's to decide.

`activity.heartbeat()` is never called in a slice: it does not wait, is throttled, and would overwrite the
ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities import events
from activities.clock import lease_now
from batchmail.batch.attempt import Answer, Attempt, Intent, Phase

LONGEST_CALL = 5.0
"""Seconds; an answer that takes longer is unclear."""

FILLING = 0.004
"""Seconds that a heartbeat waits for further recipients at most."""

LARGE_LEDGER = 7_000
"""Octets of details; a ledger that grows beyond hands back, since all of a batch's must fit its state."""

_BEATS_A_LEASE = 3


class Commit:
    """The heartbeats of one attempt.

    `allowed` is told the intents that an answer acknowledged, `withdrawn` those that are given up; `waiting`
    says what the slice waits for; `answered` is told each heartbeat's answer and the seconds it took.
    `interval`: seconds from one heartbeat's sending to the next's at least, as long as the lease allows.
    """

    def __init__(
        self,
        client: Client,
        task_token: bytes,
        attempt: Attempt,
        *,
        allowed: Callable[[list[Intent]], None],
        withdrawn: Callable[[list[Intent]], None],
        waiting: Callable[[], str],
        answered: Callable[[Answer, float], None],
        interval: float = 0.0,
    ) -> None:
        self._client = client
        self._request = RecordActivityTaskHeartbeatRequest(
            namespace=client.namespace, task_token=task_token, identity=client.identity
        )
        self._attempt = attempt
        self._allowed = allowed
        self._withdrawn = withdrawn
        self._waiting = waiting
        self._answered = answered
        self._interval = interval
        self._news = asyncio.Event()
        self._filling = False
        self._step = asyncio.Event()
        self._awaited: Callable[[], bool] = _always
        self._over = asyncio.Event()
        self._large_ledger = 0

    def changed(self) -> None:
        """The attempt may have something new to tell.

        Called for every recipient: nobody is woken who would only sleep on.
        """
        if not (self._filling and self._attempt.may_name_more):
            self._news.set()
        if self._awaited():
            self._step.set()

    def end(self) -> None:
        """No heartbeat after the one on its way."""
        self._over.set()
        self._news.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until `reached`, which is asked after every change; or until the attempt is dead."""
        self._awaited = reached
        while not reached() and self._attempt.phase is not Phase.DEAD:
            self._step.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._attempt.lease_left(lease_now()))):
                    await self._step.wait()
            self._attempt.has_lease(lease_now())
        self._awaited = _always

    async def keep_up(self) -> None:
        """Send heartbeats until the end: at once where there is news, else in time for the lease."""
        attempt = self._attempt
        rest = attempt.lease_left(lease_now()) / _BEATS_A_LEASE
        loop = asyncio.get_running_loop()
        due = earliest = loop.time()
        while not self._over.is_set():
            self._news.clear()
            if not attempt.has_news and loop.time() < due:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._news.wait()
                continue
            await self._fill()
            if loop.time() < earliest:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(earliest):
                        await self._over.wait()
            due = loop.time() + rest
            earliest = loop.time() + min(self._interval, rest)
            if self._over.is_set() or not await self._beat():
                break
        self._step.set()

    async def _fill(self) -> None:
        """Wait a little, while further recipients may still join the heartbeat: a fuller one is speed."""
        if self._attempt.may_name_more:
            self._news.clear()
            self._filling = True
            with suppress(TimeoutError):
                async with asyncio.timeout(FILLING):
                    await self._news.wait()
            self._filling = False

    async def _beat(self) -> bool:
        """One heartbeat and its answer; False where there must not be another."""
        attempt = self._attempt
        record = attempt.heartbeat(lease_now(), self._waiting())
        if record is None:
            return False
        payloads = await self._client.data_converter.encode([record])
        del self._request.details.payloads[:]
        self._request.details.payloads.extend(payloads)
        asked_at = lease_now()
        answer = await self._ask(min(LONGEST_CALL, max(0.05, attempt.lease_left(lease_now()))))
        self._answered(answer, lease_now() - asked_at)
        self._allowed(attempt.heard(answer, lease_now()))
        size = len(payloads[0].data)
        self._large_ledger = self._large_ledger or max(LARGE_LEDGER, size + LARGE_LEDGER // 10)
        if size > self._large_ledger:
            self._withdrawn(attempt.stop("its ledger has grown large"))
        self._step.set()
        return attempt.phase not in (Phase.FAILING, Phase.DEAD)

    async def _ask(self, seconds: float) -> Answer:
        try:
            response = await self._client.workflow_service.record_activity_task_heartbeat(
                self._request, retry=False, timeout=timedelta(seconds=seconds)
            )
        except RPCError as error:
            return Answer.GONE if error.status is RPCStatusCode.NOT_FOUND else Answer.UNCLEAR
        if events.armed:
            events.happened("heartbeat_answered")
        return _answer(response)


def _always() -> bool:
    return True


def _answer(response: RecordActivityTaskHeartbeatResponse) -> Answer:
    if response.activity_paused or response.activity_reset:
        return Answer.YES_END
    return Answer.YES_STOP if response.cancel_requested else Answer.YES

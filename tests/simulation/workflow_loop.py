"""Temporal's workflow engine in virtual time, as far as the fan-out needs it.

An event loop like the SDK's: what is ready runs until nothing is, conditions are asked after that, and time
stands still meanwhile. So the workflow's own code runs here as it stands; `workflow.now`, `sleep`,
`wait_condition` and `patched` end up in this loop, by the SDK's way of finding the one they belong to.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

from temporalio import workflow

START = 1_800_000_000
"""When virtual time begins, in seconds since 1970."""


class WorkflowLoop(asyncio.AbstractEventLoop):
    """`now`: seconds since START. The run is one of today: every `patched` is true."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._conditions: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        workflow._Runtime.set_on_loop(self, self)  # type: ignore[arg-type]

    def turn(self, now: float) -> None:
        """Fire the timers that are due, then run until nothing is ready."""
        self.now = now
        for timer in [timer for timer in self._timers if timer.when() <= now]:
            self._timers.remove(timer)
            self._ready.append(timer)
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while True:
                while self._ready:
                    handle = self._ready.popleft()
                    if not handle.cancelled():
                        handle._run()
                self._conditions = [one for one in self._conditions if not self._met(*one)]
                if not self._ready:
                    break
        finally:
            events._set_running_loop(before)

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due."""
        self._timers = [timer for timer in self._timers if not timer.cancelled()]
        return min((timer.when() for timer in self._timers), default=None)

    # What `temporalio.workflow` asks for

    def workflow_time_ns(self) -> int:
        return round((START + self.now) * 1e9)

    def workflow_patch(self, _id: str, **_: object) -> bool:
        return True

    async def workflow_sleep(self, duration: float, **_: object) -> None:
        await asyncio.sleep(duration)

    async def workflow_wait_condition(
        self, met: Callable[[], bool], *, timeout: float | None = None, **_: object
    ) -> None:
        future = self.create_future()
        self._conditions.append((met, future))
        await asyncio.wait_for(future, timeout)

    def _met(self, met: Callable[[], bool], future: asyncio.Future[None]) -> bool:
        if not future.done() and met():
            future.set_result(None)
        return future.done()

    # What asyncio asks for

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any], **_: object
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers.append(timer)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Left out of `next_timer`."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Of tasks that are thrown away with their run."""

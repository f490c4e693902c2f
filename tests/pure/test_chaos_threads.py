"""What chaos starts in a thread is started whole, or it would be left behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.chaos.threads import whole


async def test_who_is_cancelled_again_and_again_is_so_when_the_work_has_ended() -> None:
    begun, may_end, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)
        done.set()

    caller = asyncio.create_task(whole(work))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set()


async def test_what_the_work_comes_to_is_handed_on() -> None:
    assert await whole(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await whole(lambda: 1 // 0)

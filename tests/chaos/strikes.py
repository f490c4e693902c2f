"""What each deed of a schedule does to the ground, and what mends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import timedelta
from functools import partial
from operator import attrgetter, methodcaller

from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    UnpauseActivityRequest,
)
from temporalio.service import RPCError

from tests.chaos.attempts import slices_at_work
from tests.chaos.ground import Ground
from tests.chaos.lines import Line
from tests.chaos.schedule import Deed, Strike
from tests.chaos.seats import Seat
from tests.chaos.servers import Engine

_PATIENCE = timedelta(seconds=3)
_TO_DO_HARM = 0.5  # seconds for one that was thawed, should the batch have ended meanwhile

Struck = AbstractAsyncContextManager[None]
Kill = Callable[[Engine], None]
WhichLine = Callable[[Seat], Line]
Harm = Callable[[Line], Awaitable[None]]


async def strike(ground: Ground, blow: Strike) -> None:
    """Do it, and mend it when its time is over, also where the batch has ended before."""
    ground.note(str(blow))
    async with _DEEDS[blow.deed](ground, blow):
        await asyncio.sleep(blow.seconds)
    ground.note(f"mended: {blow.deed}")


# Workers


@asynccontextmanager
async def _kill_worker(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    seat = await ground.busy_seat()
    seat.kill()
    yield
    seat.open()


@asynccontextmanager
async def _kill_workers(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    for seat in ground.seats:
        seat.kill()
    yield
    for seat in ground.seats:
        seat.open()


@asynccontextmanager
async def _stop_worker(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    seat = await ground.busy_seat()
    seat.ask_to_stop()
    yield
    seat.open()


@asynccontextmanager
async def _freeze_worker(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    seat = await ground.busy_seat()
    frozen = seat.freeze()
    yield
    seat.thaw(frozen)
    await asyncio.sleep(_TO_DO_HARM)


# Servers and relay


@asynccontextmanager
async def _kill(parts: Sequence[Kill], ground: Ground, blow: Strike) -> AsyncIterator[None]:
    for kill in parts:
        await asyncio.to_thread(kill, ground.engine)
    yield
    await ground.revive()


_server, _database = methodcaller("kill_server"), methodcaller("kill_database")


@asynccontextmanager
async def _kill_relay(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    with ground.harms_the_relay():
        ground.kill_relay()
        yield
        await ground.start_relay()


# Lines


@asynccontextmanager
async def _harm(
    which: WhichLine, harm: Callable[[float], Harm], ground: Ground, blow: Strike
) -> AsyncIterator[None]:
    line = which(await ground.busy_seat())
    with ground.harms_the_relay() if which is _to_relay else nullcontext():
        await harm(blow.severity)(line)
        yield
        await line.mend()


_to_server, _to_relay = attrgetter("to_server"), attrgetter("to_relay")


def _cut(severity: float) -> Harm:
    return Line.cut


def _half_open(severity: float) -> Harm:
    return Line.half_open


def _reset(severity: float) -> Harm:
    return Line.reset


def _delay(severity: float) -> Harm:
    return methodcaller("delay", 0.1 + 2.4 * severity)


def _slow(severity: float) -> Harm:
    return methodcaller("slow", int(100 - 95 * severity))


# By hand


@asynccontextmanager
async def _pause_slices(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    service, slices = ground.client.workflow_service, ground.slices
    with suppress(RPCError):
        await service.pause_activity(PauseActivityRequest(**slices), timeout=_PATIENCE)
    yield
    unpause = UnpauseActivityRequest(**slices)
    await ground.until_done(lambda: service.unpause_activity(unpause, timeout=_PATIENCE))


@asynccontextmanager
async def _reset_slices(ground: Ground, blow: Strike) -> AsyncIterator[None]:
    request = ResetActivityRequest(**ground.slices, reset_heartbeat=blow.severity > 0.5)
    with suppress(RPCError):
        # Also those that the server schedules meanwhile.
        ground.reset |= await slices_at_work(ground.client, ground.batch)
        await ground.client.workflow_service.reset_activity(request, timeout=_PATIENCE)
        ground.reset |= await slices_at_work(ground.client, ground.batch)
    yield


_DEEDS: dict[Deed, Callable[[Ground, Strike], Struck]] = {
    Deed.KILL_WORKER: _kill_worker,
    Deed.KILL_WORKERS: _kill_workers,
    Deed.STOP_WORKER: _stop_worker,
    Deed.FREEZE_WORKER: _freeze_worker,
    Deed.KILL_SERVER: partial(_kill, [_server]),
    Deed.KILL_DATABASE: partial(_kill, [_database]),
    Deed.KILL_BOTH: partial(_kill, [_server, _database]),
    Deed.KILL_RELAY: _kill_relay,
    Deed.CUT_SERVER: partial(_harm, _to_server, _cut),
    Deed.HALF_OPEN_SERVER: partial(_harm, _to_server, _half_open),
    Deed.DELAY_SERVER: partial(_harm, _to_server, _delay),
    Deed.SLOW_SERVER: partial(_harm, _to_server, _slow),
    Deed.RESET_SERVER: partial(_harm, _to_server, _reset),
    Deed.CUT_RELAY: partial(_harm, _to_relay, _cut),
    Deed.HALF_OPEN_RELAY: partial(_harm, _to_relay, _half_open),
    Deed.DELAY_RELAY: partial(_harm, _to_relay, _delay),
    Deed.SLOW_RELAY: partial(_harm, _to_relay, _slow),
    Deed.RESET_RELAY: partial(_harm, _to_relay, _reset),
    Deed.PAUSE_SLICES: _pause_slices,
    Deed.RESET_SLICES: _reset_slices,
}

"""Carry one batch through its schedule of strikes, and tell what came of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from batchmail.batch.ids import mail_token
from batchmail.batch.result import BatchResult
from batchmail.batch.slices import cut, fan_out
from batchmail.client import SLICE, Batch
from tests.chaos.attempts import Attempts, attempts
from tests.chaos.causes import refusals, unanswered
from tests.chaos.ground import Ground, ground
from tests.chaos.schedule import ADMIN, HEARTBEAT_TIMEOUT, Deed, Schedule
from tests.chaos.strikes import strike
from tests.chaos.verdict import SENDERS_DOMAIN, Case, judge
from tests.program.bench import Handle, address, shown_to
from tests.relays.shown import digest_of_shown

_RETRY_DELAYS = (timedelta(seconds=1),) * 6
_NOTIFY = "notify_admin"


class Account(NamedTuple):
    """What came of a schedule. `struck`: how often each deed was done. `by_attempts`: who is in doubt by a
    superseded attempt alone, of `most_by_attempts`. `superseded`: attempts of slices that ended without a
    result. `broken`: the promises that were broken."""

    schedule: Schedule
    struck: Counter[Deed]
    in_doubt: int
    by_attempts: int
    most_by_attempts: int
    twice: int
    notices: int
    superseded: int
    seconds: float
    broken: Sequence[str]


async def carry_out(schedule: Schedule, folder: Path, fresh: Path, longest: float) -> Account:
    """The whole schedule, in this folder; a batch that takes longer than so many seconds is stuck."""
    begun = time.monotonic()
    async with ground(schedule, folder, fresh) as here:
        handle = await here.bench.start(
            schedule.recipients,
            connections=schedule.connections,
            slice_size=schedule.slice_size,
            in_doubt=schedule.in_doubt,
            retry_delays=_RETRY_DELAYS,
            heartbeat_timeout=timedelta(seconds=HEARTBEAT_TIMEOUT),
            admins=(ADMIN,),
        )
        struck: Counter[Deed] = Counter()
        try:
            async with asyncio.timeout(longest):
                result = await _under_fire(schedule, here, handle, struck)
        except TimeoutError:
            seconds = time.monotonic() - begun
            stuck = f"the batch has not ended within {longest:.0f} s: {await _standing(here, handle)}"
            return Account(schedule, struck, 0, 0, 0, 0, 0, 0, seconds, [stuck])
        run = handle.first_execution_run_id
        assert run is not None
        found = await attempts(here.client, handle.id, run, here.reset)
        await here.fall_silent()
        case = _case(schedule, here, result, found)
        notices = sum(entry.recipient == ADMIN for entry in case.accepted)
        return Account(
            schedule,
            struck,
            case.doubted,
            case.in_doubt_by_attempts,
            case.most_in_doubt,
            len(case.twice),
            notices,
            found.superseded[SLICE],
            time.monotonic() - begun,
            judge(case),
        )


async def _under_fire(schedule: Schedule, here: Ground, handle: Handle, struck: Counter[Deed]) -> BatchResult:
    """The result of the batch, with all that was struck mended."""
    async with asyncio.TaskGroup() as tasks:
        keepers = [tasks.create_task(seat.keep()) for seat in here.seats]
        blows: list[asyncio.Task[None]] = []

        async def fire() -> None:
            for blow in schedule.strikes:
                await here.watch.reached(blow.after)
                struck[blow.deed] += 1
                blows.append(tasks.create_task(strike(here, blow)))

        firing = tasks.create_task(fire())
        result = await Batch(here.client, handle.id).result()
        here.note("the batch has ended")
        firing.cancel()
        await asyncio.gather(*blows)
        for keeper in keepers:
            keeper.cancel()
    return result


def _case(schedule: Schedule, here: Ground, result: BatchResult, found: Attempts) -> Case:
    numbers = range(1, schedule.recipients + 1)
    listed = [address(number) for number in numbers]
    events = here.relay.events()
    left = unanswered(events, here.harms)
    slices = cut(schedule.recipients, schedule.connections, schedule.slice_size)
    connections = fan_out(slices, schedule.connections).connections
    return Case(
        listed=listed,
        shown={address(number): digest_of_shown(shown_to(number)) for number in numbers},
        refused={one for one in listed if schedule.refused.search(one)},
        put_off={one for one in listed if schedule.put_off.search(one)},
        in_doubt=schedule.in_doubt,
        accepted=here.relay.record(),
        said=refusals(events),
        misplaced=[event.line for event in events if event.event == "out_of_order"],
        rows=here.bench.report(result),
        result=result,
        admin=ADMIN,
        notice=f"<{mail_token(f'{result.batch_id}/notice', ADMIN)}@{SENDERS_DOMAIN}>",
        unanswered=set(left) - {ADMIN},
        reset={address(row) for row in found.open_rows},
        most_in_doubt=connections * found.superseded[SLICE],
        most_notices=1 + found.superseded[_NOTIFY] + left.count(ADMIN),
    )


async def _standing(here: Ground, handle: Handle) -> str:
    """What the batch says of itself, else what its workers have said last."""
    with suppress(RPCError, WorkflowQueryFailedError):
        return str(await handle.query("progress", rpc_timeout=timedelta(seconds=5)))
    said = [seat.worker.log().splitlines()[-1:] for seat in here.seats]
    return f"the server or all workers are silent; the workers' last words: {said}"

"""A short schedule on each server, as `make chaos` carries out long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchmail.batch.options import InDoubt
from tests.chaos.batch import carry_out
from tests.chaos.schedule import Deed, Schedule, Server, Strike, draw

RECIPIENTS = 1_000
LONGEST = 180.0


def short(server: Server, in_doubt: InDoubt, *strikes: Strike) -> Schedule:
    """A schedule whose relay errs by a seed, and whose strikes are these."""
    drawn = draw(1, server, RECIPIENTS, strikes=0)
    return drawn._replace(connections=10, slice_size=250, workers=2, in_doubt=in_doubt, strikes=strikes)


@pytest.mark.timeout(2 * LONGEST)
@pytest.mark.parametrize(
    "schedule",
    [
        short(
            Server.EMBEDDED,
            InDoubt.HOLD,
            Strike(100, Deed.KILL_WORKER, 0.0, 0.5),
            Strike(400, Deed.KILL_SERVER, 0.5, 0.5),
            Strike(700, Deed.RESET_RELAY, 0.2, 0.5),
        ),
        short(
            Server.POSTGRES,
            InDoubt.RESEND,
            Strike(100, Deed.FREEZE_WORKER, 3.5, 0.5),
            Strike(500, Deed.KILL_BOTH, 0.5, 0.5),
            Strike(None, Deed.KILL_WORKERS, 0.0, 0.5),
        ),
    ],
    ids=lambda schedule: str(schedule.server),
)
async def test_a_batch_under_a_few_faults_keeps_every_promise(
    schedule: Schedule, tmp_path: Path, fresh_data: Path
) -> None:
    account = await carry_out(schedule, tmp_path, fresh_data, LONGEST)
    assert account.broken == []
    assert account.struck.total() == len(schedule.strikes), "each met the batch on its way"
    assert account.superseded >= 1

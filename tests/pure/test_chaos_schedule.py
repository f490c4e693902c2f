"""Schedules of faults are drawn by seed alone, and every fault of the catalogue is drawn."""

from __future__ import annotations

from collections import Counter

import pytest

from batchmail.batch.options import InDoubt
from tests.chaos.schedule import Deed, Server, draw

SIZE = {"recipients": 20_000, "strikes": 10}


@pytest.mark.parametrize("server", Server)
def test_the_same_seed_draws_the_same_schedule(server: Server) -> None:
    assert draw(7, server, **SIZE) == draw(7, server, **SIZE)
    assert str(draw(7, server, **SIZE)) != str(draw(9, server, **SIZE))


@pytest.mark.parametrize("server", Server)
def test_twenty_schedules_do_nearly_all_that_can_be_done(server: Server) -> None:
    schedules = [draw(seed, server, **SIZE) for seed in range(20)]
    done = Counter(strike.deed for schedule in schedules for strike in schedule.strikes)
    possible = set(Deed) - ({Deed.KILL_DATABASE, Deed.KILL_BOTH} if server is Server.EMBEDDED else set())
    assert len(possible - done.keys()) <= 2
    assert done.keys() <= possible
    assert Counter(schedule.in_doubt for schedule in schedules) == {InDoubt.RESEND: 10, InDoubt.HOLD: 10}


def test_strikes_meet_the_batch_on_its_way_in_order() -> None:
    for seed in range(20):
        *on_the_way, last = draw(seed, Server.POSTGRES, **SIZE).strikes
        moments = [strike.after for strike in on_the_way]
        assert None not in moments, "only the last one may wait for the notice"
        assert moments == sorted(moments, key=lambda moment: moment or 0)
        assert last.after is None or last.after < 20_000 * 0.95

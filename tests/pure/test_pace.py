"""The pace that a relay allows is found, nearly used up, and forgotten when it is allowed more."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest

from batchmail.relay.pace import FORGOTTEN, LONGEST_HALT, Pace


class Mailed(NamedTuple):
    """When mails were taken, and when they were refused."""

    taken: list[float]
    refused: list[float]

    def rate(self, begin: float, end: float) -> float:
        return sum(begin <= at < end for at in self.taken) / (end - begin)

    def refused_share(self, begin: float, end: float) -> float:
        refused = sum(begin <= at < end for at in self.refused)
        return refused / (refused + sum(begin <= at < end for at in self.taken))


def mail(admits: Callable[[float], bool], seconds: float, lanes: int = 20, latency: float = 0.02) -> Mailed:
    """Mail by this many connections, in virtual time, as the lanes do it; each mail takes `latency`."""
    pace, found = Pace(), Mailed([], [])
    idle, under_way = list(range(lanes)), list[tuple[float, int]]()
    now = 0.0
    while now < seconds:
        while under_way and under_way[0][0] <= now:
            _, who = heapq.heappop(under_way)
            if admits(now):
                pace.answered(now, who, taken=True)
                found.taken.append(now)
            else:
                pace.refused(now, who, for_the_rate=True)
                found.refused.append(now)
            idle.append(who)
        while idle and (pace.is_free or pace.begin(now, idle[-1])):
            heapq.heappush(under_way, (now + latency, idle.pop()))
        moments = [at for at, _ in under_way[:1]]
        if idle and (at := pace.next_at(now)) is not None:
            moments.append(max(at, now + 0.005))
        now = min(moments)
    return found


def bucket(rate: float, burst: float) -> Callable[[float], bool]:
    """So many a second, `burst` at once: how most limits are meant."""
    left, then = burst, 0.0

    def admits(now: float) -> bool:
        nonlocal left, then
        left, then = min(burst, left + (now - then) * rate), now
        if left < 1:
            return False
        left -= 1
        return True

    return admits


def window(most: int, seconds: float) -> Callable[[float], bool]:
    """So many in each span of time, refused ones included: how Postfix counts (anvil_rate_time_unit)."""
    count, of = 0, 0

    def admits(now: float) -> bool:
        nonlocal count, of
        if of != (of := int(now // seconds)):
            count = 0
        count += 1
        return count <= most

    return admits


@pytest.mark.parametrize(
    ("rate", "burst"), [(0.5, 1), (5, 1), (5, 50), (20, 1), (50, 50), (300, 300), (50, 3_000)]
)
def test_a_rate_is_nearly_used_up_and_seldom_exceeded(rate: float, burst: float) -> None:
    found = mail(bucket(rate, burst), 600)
    assert found.rate(120, 600) >= 0.8 * rate
    assert found.refused_share(120, 600) <= (0.2 if rate < 1 else 0.05)


@pytest.mark.parametrize("most", [30, 600, 6_000])
def test_a_quota_of_each_minute_is_nearly_used_up(most: int) -> None:
    found = mail(window(most, 60.0), 1_200)
    assert found.rate(180, 1_200) >= 0.8 * most / 60
    assert found.refused_share(180, 1_200) <= (0.2 if most < 60 else 0.05)


def test_a_relay_that_limits_nothing_is_not_slowed_down() -> None:
    found = mail(lambda _: True, 10)
    assert len(found.taken) == pytest.approx(20 * 10 / 0.02, rel=0.01)
    assert not found.refused


def test_a_limit_that_was_lifted_is_soon_forgotten() -> None:
    strict = bucket(10, 10)
    found = mail(lambda now: now >= 100 or strict(now), 300)
    assert found.rate(50, 100) <= 11
    assert found.rate(100 + FORGOTTEN, 300) == pytest.approx(20 / 0.02, rel=0.01)


def test_a_limit_that_has_become_stricter_is_found_again() -> None:
    loose, strict = bucket(300, 300), bucket(3, 3)
    found = mail(lambda now: loose(now) if now < 100 else strict(now), 400)
    assert found.rate(50, 100) >= 0.8 * 300
    assert found.rate(200, 400) >= 0.8 * 3
    assert found.refused_share(200, 400) <= 0.1


def test_a_relay_that_takes_no_mail_is_asked_ever_more_rarely_by_one_mail_at_a_time() -> None:
    found = mail(lambda now: now < 10 or now >= 1_000, 1_100)
    tried = [at for at in found.refused if at > 10.5]
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert [round(pause) for pause in pauses[:7]] == [2, 4, 8, 16, 32, 60, 60]
    assert len(tried) <= 25
    assert found.rate(1_061, 1_100) == pytest.approx(20 / 0.02, rel=0.01), "so long a halt was no rate"


def halted(pace: Pace, *, for_the_rate: bool = True) -> Pace:
    """A pace that has taken mails for ten seconds, and is then refused."""
    for second in range(10):
        pace.answered(float(second), "a", taken=True)
    pace.refused(10.0, "a", for_the_rate=for_the_rate)
    return pace


def test_only_the_mail_that_is_tried_ends_a_halt() -> None:
    pace = halted(Pace())
    assert not pace.begin(10.9, "b")
    assert pace.begin(11.0, "b")
    assert not pace.begin(11.0, "c")
    assert not pace.answered(11.1, "from before", taken=True)
    assert pace.is_halted
    assert pace.answered(11.2, "b", taken=True)
    assert not pace.is_halted


def test_refusals_of_mails_that_were_under_way_do_not_lengthen_a_halt() -> None:
    pace = halted(Pace())
    pace.refused(10.5, "from before", for_the_rate=True)
    assert pace.next_at(10.6) == 11.0
    assert pace.refusals == 1


def test_a_tried_mail_that_ends_without_an_answer_lets_another_be_tried() -> None:
    pace = halted(Pace())
    assert pace.begin(11.0, "b")
    pace.left("somebody else")
    assert not pace.begin(11.5, "c")
    pace.left("b")
    assert pace.begin(11.5, "c")


def test_after_a_fault_that_speaks_of_no_rate_mails_go_on_without_limit() -> None:
    pace = halted(Pace(), for_the_rate=False)
    assert pace.begin(11.0, "b")
    assert pace.answered(11.1, "b", taken=True)
    assert pace.is_free


def test_nothing_is_known_of_a_rate_before_a_first_mail_was_taken() -> None:
    pace = Pace()
    pace.refused(0.0, "a", for_the_rate=True)
    assert pace.begin(1.0, "a")
    assert pace.answered(1.1, "a", taken=True)
    assert pace.is_free


def test_a_halt_longer_than_any_rate_leaves_no_limit() -> None:
    pace = halted(Pace())
    assert pace.begin(10 + LONGEST_HALT + 1, "b")
    assert pace.answered(10 + LONGEST_HALT + 1, "b", taken=True)
    assert pace.is_free


def test_a_limit_that_turned_out_to_be_none_is_forgotten() -> None:
    pace = halted(Pace())
    assert pace.begin(11.0, "b")
    assert pace.answered(11.1, "b", taken=True)
    assert not pace.is_free
    pace.forget()
    assert pace.is_free

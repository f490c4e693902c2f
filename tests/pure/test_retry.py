"""When to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.options import DEFAULT_RETRY_DELAYS
from batchmail.batch.retry import Retries, due_time, growing_delays

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
delays = st.timedeltas(timedelta(milliseconds=1), timedelta(days=7))
spreads = st.sampled_from(("", "batch-1/0", "batch-2/0", "batch-1/1"))

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_delays_double_and_then_stay() -> None:
    assert list(islice(growing_delays(), 9)) == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert list(islice(growing_delays(0.5, 3), 5)) == [0.5, 1, 2, 3, 3]


@given(moments, delays, spreads)
def test_nobody_is_due_before_the_delay_is_over_nor_much_later(
    now: datetime, delay: timedelta, spread: str
) -> None:
    due = due_time(now, delay, spread)
    assert now + delay <= due < now + delay + max(delay / 10, timedelta(milliseconds=1))


@given(moments, delays, spreads)
def test_slices_deferred_at_about_the_same_time_share_a_timer(
    now: datetime, delay: timedelta, spread: str
) -> None:
    moments = {due_time(now + delay * place / 100, delay, spread) for place in range(10)}
    assert len(moments) <= 2


def test_batches_deferred_at_one_moment_do_not_all_come_back_at_one_moment() -> None:
    retries = [Retries(delays=(timedelta(hours=1),), spread=f"batch-{number}") for number in range(100)]
    due = sorted(one.due(0, NOON, NOON) for one in retries)
    assert len(set(due)) > 90
    assert due[0] < NOON + timedelta(minutes=61) < NOON + timedelta(minutes=65) < due[-1]


def test_the_last_delay_repeats_until_the_time_to_give_up() -> None:
    hours = [round(one) for one in tries(DEFAULT_RETRY_DELAYS, timedelta(hours=24))]
    assert hours == [0, 0, 0, 1, 6, 10, 14, 18, 22, 24]


def test_without_a_time_to_give_up_the_try_after_the_last_delay_is_the_last() -> None:
    assert len(tries((timedelta(hours=1), timedelta(hours=2)), None)) == 2
    assert Retries(delays=()).is_last(0, NOON, NOON)


@given(
    st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=2)), min_size=1, max_size=5),
    st.timedeltas(timedelta(minutes=1), timedelta(days=3)),
)
def test_nobody_is_given_up_before_the_time_nor_much_later(
    delays: list[timedelta], give_up_after: timedelta
) -> None:
    *others, last = tries(tuple(delays), give_up_after)
    hours = give_up_after / timedelta(hours=1)
    assert hours <= last <= hours * 1.1 + 0.001
    assert all(one < hours for one in others)


@given(moments, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_a_batch_that_was_held_up_past_the_time_to_give_up_tries_once_more(
    now: datetime, held_up: timedelta
) -> None:
    retries = Retries(delays=(timedelta(minutes=5),), give_up_after=timedelta(hours=1), spread="b")
    late = now + timedelta(hours=1) + held_up
    due = retries.due(1, late, now)
    assert late + timedelta(minutes=5) <= due <= late + timedelta(minutes=6)
    assert retries.is_last(2, due, now)


@pytest.mark.parametrize(
    ("delays", "give_up_after", "minutes"),
    [
        ((1, 5, 15, 60), 24 * 60, (1, 5, 14)),
        ((1, 5, 15, 60), 3, (1, 2)),
        ((6,), 24 * 60, (6, 6, 6, 2)),
        ((60, 240), None, (20,)),
        ((2, 3), None, (2, 3)),
        ((20, 20), None, (20,)),
        ((), None, ()),
    ],
)
def test_a_short_time_cuts_the_delays_and_never_adds_any(
    delays: tuple[int, ...], give_up_after: int | None, minutes: tuple[int, ...]
) -> None:
    whole = Retries(
        delays=tuple(timedelta(minutes=one) for one in delays),
        give_up_after=None if give_up_after is None else timedelta(minutes=give_up_after),
        spread="b",
    )
    short = whole.for_at_most(timedelta(minutes=20))
    assert short == Retries(delays=tuple(timedelta(minutes=one) for one in minutes), spread="b")


def test_who_was_put_off_longer_before_is_tried_once_more_soon() -> None:
    hours = Retries(delays=DEFAULT_RETRY_DELAYS, give_up_after=timedelta(hours=24))
    short = hours.for_at_most(timedelta(minutes=20))
    due = short.due(6, NOON, NOON - timedelta(hours=10))
    assert due - NOON < timedelta(minutes=20)
    assert short.is_last(7, due, NOON - timedelta(hours=10))


def test_no_delay_is_due_at_once() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, 500, tzinfo=UTC)
    assert due_time(now, timedelta(0)) - now < timedelta(milliseconds=1)


def tries(delays: tuple[timedelta, ...], give_up_after: timedelta | None) -> list[float]:
    """When somebody whom the relay always defers is tried again, in hours since the first deferral."""
    retries = Retries(delays=delays, give_up_after=give_up_after, spread="batch-1")
    now, found = NOON, list[float]()
    while not (found and retries.is_last(len(found), now, NOON)):
        now = retries.due(len(found), now, NOON)
        found.append((now - NOON) / timedelta(hours=1))
    return found

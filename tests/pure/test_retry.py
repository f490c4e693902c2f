"""When to try again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.retry import due_time, growing_delays

moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
delays = st.timedeltas(timedelta(milliseconds=1), timedelta(days=7))


def test_delays_double_and_then_stay() -> None:
    assert list(islice(growing_delays(), 9)) == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert list(islice(growing_delays(0.5, 3), 5)) == [0.5, 1, 2, 3, 3]


@given(moments, delays)
def test_nobody_is_due_before_the_delay_is_over_nor_much_later(now: datetime, delay: timedelta) -> None:
    due = due_time(now, delay)
    assert now + delay <= due < now + delay + max(delay / 10, timedelta(milliseconds=1))


@given(moments, delays)
def test_slices_deferred_at_about_the_same_time_share_a_timer(now: datetime, delay: timedelta) -> None:
    moments = {due_time(now + delay * place / 100, delay) for place in range(10)}
    assert len(moments) <= 2


def test_no_delay_is_due_at_once() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, 500, tzinfo=UTC)
    assert due_time(now, timedelta(0)) - now < timedelta(milliseconds=1)

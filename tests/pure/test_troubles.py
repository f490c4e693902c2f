"""When the admins are told what a batch waits for: once each, and no two mails within an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batchmail.batch.progress import Waiting
from batchmail.batch.troubles import each_once, tell_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AFTER = timedelta(minutes=15)
RELAY = "the relay is out of reach"
LOGIN = "the login is wrong"


def minutes(number: float) -> datetime:
    """So many after noon."""
    return NOON + timedelta(minutes=number)


def waits(what: str, since: float) -> Waiting:
    return Waiting(what=what, since=minutes(since))


@pytest.mark.parametrize(
    ("waiting", "told", "last_told", "due"),
    [
        ([], (), None, None),
        ([waits(RELAY, 0)], (), None, 15),
        ([waits(RELAY, 5), waits(RELAY, 0), waits(LOGIN, 9)], (), None, 15),
        ([waits(RELAY, 0)], (RELAY,), 15, None),
        ([waits(RELAY, 0), waits(LOGIN, 3)], (RELAY,), 15, 75),
        ([waits(RELAY, 70)], (), 15, 85),
        ([waits(RELAY, 20)], (), 15, 75),
    ],
)
def test_a_wait_is_told_once_and_no_two_within_an_hour(
    waiting: list[Waiting], told: tuple[str, ...], last_told: float | None, due: float | None
) -> None:
    last = None if last_told is None else minutes(last_told)
    assert tell_at(waiting, told, last, AFTER) == (None if due is None else minutes(due))


def test_what_many_wait_for_is_told_once_since_the_first_began() -> None:
    assert each_once([waits(LOGIN, 3), waits(RELAY, 5), waits(LOGIN, 1)]) == (
        waits(LOGIN, 1),
        waits(RELAY, 5),
    )

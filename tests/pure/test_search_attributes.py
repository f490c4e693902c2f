"""By what a batch is found: its search attributes' values at every stage."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Doing, Paused, PausedBy, Progress, Waiting
from batchmail.batch.search_attributes import SearchAttribute, State, state, values

WAITING = (Waiting(what="the relay", since=datetime(2026, 1, 1, tzinfo=UTC)),)

PAUSED = Paused(by=PausedBy.OPERATOR, why="an operator asked for it", since=WAITING[0].since)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(doing=Doing.PREPARING), State.PREPARING),
        (Progress(doing=Doing.MAILING), State.MAILING),
        (Progress(doing=Doing.MAILING, waiting=WAITING), State.WAITING),
        (Progress(doing=Doing.MAILING, cancelled=True), State.CANCELLING),
        (Progress(doing=Doing.MAILING, cancelled=True, waiting=WAITING), State.WAITING),
        (Progress(doing=Doing.MAILING, paused=PAUSED, waiting=WAITING), State.PAUSED),
        (Progress(doing=Doing.WAITING_TO_RETRY), State.WAITING),
        (Progress(doing=Doing.REPORTING, cancelled=True), State.FINISHING),
        (Progress(doing=Doing.NOTIFYING), State.FINISHING),
        (Progress(doing=Doing.NOTIFYING, waiting=WAITING), State.WAITING),
        (Progress(doing=Doing.DONE), State.DONE),
        (Progress(doing=Doing.DONE, cancelled=True), State.CANCELLED),
    ],
)
def test_the_state_is_one_word(progress: Progress, expected: State) -> None:
    assert state(progress) is expected


def test_not_sent_are_those_settled_otherwise() -> None:
    settled = {Outcome.SENT: 5, Outcome.REJECTED: 2, Outcome.UNKNOWN: 1}
    assert values(Progress(doing=Doing.MAILING, list_name="emails.csv", total=9, settled=settled)) == {
        SearchAttribute.STATUS: "mailing",
        SearchAttribute.LIST: "emails.csv",
        SearchAttribute.TOTAL: 9,
        SearchAttribute.SETTLED: 8,
        SearchAttribute.NOT_SENT: 3,
    }


def test_there_are_no_more_numbers_than_a_sql_database_has_places_for() -> None:
    assert sum(name.is_number for name in SearchAttribute) <= 3

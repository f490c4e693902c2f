"""What a running batch says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Control, Doing, Progress, Waiting

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def test_progress_sums_what_is_settled() -> None:
    assert Progress(doing=Doing.MAILING).settled_count == 0
    progress = Progress(doing=Doing.MAILING, total=9, settled={Outcome.SENT: 5, Outcome.UNKNOWN: 1})
    assert progress.settled_count == 6


def test_progress_survives_the_wire() -> None:
    progress = Progress(
        doing=Doing.WAITING_TO_RETRY,
        total=3,
        settled={Outcome.SENT: 2},
        deferred=1,
        next_try=NOON,
        waiting=(Waiting(what="the relay", since=NOON),),
        took=timedelta(seconds=1),
    )
    assert Progress.model_validate_json(progress.model_dump_json()) == progress


def test_a_slice_nobody_speaks_to_mails_on() -> None:
    control = Control()
    assert (control.opens_connections, control.cancelled) == (True, False)

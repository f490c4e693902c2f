"""What a running batch says of itself."""

from __future__ import annotations

from datetime import UTC, datetime

from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome
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
    )
    assert Progress.model_validate_json(progress.model_dump_json()) == progress


def test_the_web_ui_shows_every_final_outcome_also_where_nobody_has_it() -> None:
    shown = Progress(doing=Doing.MAILING, total=12_345, settled={Outcome.SENT: 1_234}).as_markdown()
    assert "| in all | 12,345 |" in shown
    assert "| sent | 1,234 |" in shown
    for outcome in FINAL_OUTCOMES:
        assert f"| {outcome} |" in shown
    assert "deferred" not in shown
    assert "cancelled" not in shown


def test_the_web_ui_shows_who_waits_for_what_and_since_when() -> None:
    shown = Progress(
        doing=Doing.WAITING_TO_RETRY,
        deferred=1_000,
        next_try=NOON,
        slices_running=1,
        slices_left=2,
        waiting=(Waiting(what="the relay is out of reach", since=NOON),),
        cancelled=True,
    ).as_markdown()
    assert "| deferred, again at 12:00:00 UTC | 1,000 |" in shown
    assert "Slices: 1 running, 2 to come." in shown
    assert "Waiting since 2026-01-01 12:00:00 UTC: the relay is out of reach" in shown
    assert "cancelled" in shown


def test_a_slice_nobody_speaks_to_mails_on() -> None:
    control = Control()
    assert (control.opens_connections, control.cancelled) == (True, False)

"""How far a batch is: ended slices and running ones together, nobody counted twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.details import as_markdown
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.outcomes import NO_CAUSE, Outcome
from batchmail.batch.progress import Doing, Paused, PausedBy, Progress, Waiting
from batchmail.batch.standing import Silence, Standing, standing
from batchmail.cli.pace import Pace
from batchmail.cli.watching import amount, notes_on

NOW = datetime.now(UTC)


def slice_with(sent: int, rows: int, deferred: int = 0, waiting: str = "") -> LedgerRecord:
    ledger = Ledger.of_rows(1, rows)
    for row in range(sent + deferred):
        ledger.name(row)
        ledger.settle(row, Outcome.SENT if row < sent else Outcome.DEFERRED, NO_CAUSE)
    return ledger.record(waiting)


def mailing(sent: int, total: int, **more: object) -> Progress:
    return Progress(doing=Doing.MAILING, total=total, settled={Outcome.SENT: sent}).model_copy(update=more)


def test_running_slices_count_beside_ended_ones() -> None:
    now = standing(Standing(), mailing(10, 100), [slice_with(3, 10), slice_with(4, 10, deferred=2)], NOW)
    assert now.settled == {Outcome.SENT: 17}
    assert now.deferred == 2


def test_a_slice_seen_in_neither_for_a_moment_does_not_turn_the_count_back() -> None:
    before = standing(Standing(), mailing(0, 20), [slice_with(10, 10)], NOW)
    between = standing(before, mailing(0, 20), [], NOW)
    assert between.settled_count == 10
    after = standing(between, mailing(10, 20), [slice_with(1, 10)], NOW)
    assert after.settled_count == 11


@given(st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 10), max_size=3))))
def test_no_count_ever_falls(steps: list[tuple[int, list[int]]]) -> None:
    now = Standing()
    for ended, in_slices in steps:
        slices = [slice_with(sent, 10) for sent in in_slices]
        following = standing(now, mailing(ended, 100), slices, NOW)
        assert following.settled_count >= now.settled_count
        assert following.settled_count + following.deferred <= max(100, following.settled_count)
        now = following


def test_what_several_slices_wait_for_is_said_once() -> None:
    text = "The relay is out of reach."
    earlier = NOW - timedelta(minutes=1)
    progress = mailing(0, 20, waiting=(Waiting(what=text, since=earlier),))
    slices = [slice_with(0, 10, waiting=text), slice_with(0, 10, waiting=text)]
    now = standing(Standing(), progress, slices, NOW)
    assert now.waiting == (Waiting(what=text, since=earlier),)
    assert notes_on(now, "batchmail", dev=False) == (
        f"Waiting since {earlier.astimezone():%H:%M:%S}: {text}",
    )


def test_of_several_that_wait_for_one_thing_the_longest_wait_counts_as_in_the_details() -> None:
    longest, shorter = (Waiting(what="no relay", since=NOW - timedelta(minutes=one)) for one in (2, 1))
    for slices in ((longest, shorter), (shorter, longest)):
        progress = mailing(0, 10, waiting=slices, as_of=NOW)
        assert standing(Standing(), progress, [], NOW).waiting == (longest,)
        assert f"since {longest.since:%H:%M:%S} UTC: no relay" in as_markdown(
            progress.model_copy(update={"as_of": longest.since})
        )


def test_what_only_a_slice_or_a_retry_tells_is_since_it_was_first_seen() -> None:
    before = standing(Standing(), mailing(0, 20), [slice_with(0, 10, waiting="a")], NOW, ["b"])
    later = standing(before, mailing(0, 20), [slice_with(0, 10, waiting="a")], NOW + timedelta(hours=1))
    assert before.waiting == (Waiting(what="a", since=NOW), Waiting(what="b", since=NOW))
    assert later.waiting == (Waiting(what="a", since=NOW),)


def test_a_pause_is_said_with_the_commands_that_end_it() -> None:
    paused = Paused(by=PausedBy.OPERATOR, why="an operator asked for it", since=NOW)
    progress = mailing(5, 20, batch_id="spring", paused=paused)
    now = standing(Standing(), progress, [], NOW)
    assert notes_on(now, "batchmail", dev=False) == (
        f"Paused since {NOW.astimezone():%H:%M:%S}: an operator asked for it.",
        "To go on: python starter.py resume spring; to end it: python starter.py cancel spring",
    )
    assert notes_on(now, "batchmail", dev=True)[1] == (
        "To go on: python starter.py resume spring --dev; to end it: python starter.py cancel spring --dev"
    )
    assert "paused" in amount(now, Pace())
    deferred_only = now.model_copy(update={"doing": Doing.WAITING_TO_RETRY})
    assert amount(deferred_only, Pace()) == amount(now, Pace())


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    pace = Pace()
    pace.note(0, 0)
    pace.note(5, 6_120)
    now = Standing(doing=Doing.MAILING, total=10_000, settled={Outcome.SENT: 6_100, Outcome.REJECTED: 20})
    assert amount(now, pace) == "6,120 of 10,000  1,224/s  3 s left  20 not sent"
    assert amount(Standing(), pace) == "preparing"
    reporting = now.model_copy(update={"doing": Doing.REPORTING})
    assert "writing the report" in amount(reporting, Pace())


def test_silence_is_worth_a_word_only_after_a_while_and_says_what_to_do() -> None:
    fresh = Standing(silent=Silence.WORKER, silent_since=datetime.now(UTC))
    assert notes_on(fresh, "batchmail", dev=False) == ()
    long_ago = NOW - timedelta(seconds=30)
    (worker,) = notes_on(fresh.model_copy(update={"silent_since": long_ago}), "batchmail", dev=False)
    assert "'batchmail'" in worker
    assert "python worker.py" in worker
    engine = Standing(silent=Silence.ENGINE, silent_since=long_ago)
    assert "this command waits" in notes_on(engine, "batchmail", dev=False)[0]
    assert "the same command" in notes_on(engine, "batchmail", dev=True)[0]

"""Numbers, times and commands as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.cli.pace import WINDOW, Pace
from batchmail.cli.words import about, command_to_attach
from batchmail.report.phrases import count, printable, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (0.8, "0.8 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_span_is_said_in_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_time_left_is_said_in_whole_seconds() -> None:
    assert [about(seconds) for seconds in (0.2, 6.0, 9.96, 100)] == ["1 s", "6 s", "10 s", "1 min 40 s"]


def test_one_is_not_many() -> None:
    assert [count(number, "row") for number in (0, 1, 12_000)] == ["0 rows", "1 row", "12,000 rows"]


@given(st.text())
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (["--list", "my list.csv"], "python starter.py --list 'my list.csv'"),
        (["--list", "l.csv", "--detach", "--yes"], "python starter.py --list l.csv"),
        (["--list", "l.csv", "-y"], "python starter.py --list l.csv"),
        (["--again", "--list", "l.csv"], "python starter.py --list l.csv --batch-id batch-7"),
        (
            ["--again", "--list", "l.csv", "--batch-id=spring"],
            "python starter.py --list l.csv --batch-id=spring",
        ),
    ],
)
def test_the_command_to_attach_starts_nothing_new(typed: list[str], command: str) -> None:
    assert command_to_attach(typed, "batch-7") == command


def test_pace_looks_back_over_its_window_alone() -> None:
    pace = Pace()
    assert (pace.rate, pace.left(100)) == (0.0, None)
    for second in range(100):
        pace.note(second, 10 * second if second < 50 else 500 + 20 * (second - 50))
    assert pace.rate == pytest.approx(20, rel=0.01)
    assert pace.left(500 + 20 * 49 + 200) == pytest.approx(10, rel=0.01)


def test_whoever_attaches_half_way_does_not_count_the_first_half_as_speed() -> None:
    pace = Pace()
    pace.note(0.0, 5_000)
    pace.note(1.0, 5_010)
    assert pace.rate == 10


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1000)), min_size=1))
def test_pace_is_never_negative_and_holds_little(steps: list[tuple[float, int]]) -> None:
    pace, at, done = Pace(), 0.0, 0
    for pause, more in steps:
        at, done = at + pause, done + more
        pace.note(at, done)
        assert pace.rate >= 0
    assert pace.left(done) in (None, 0)
    assert WINDOW == 10

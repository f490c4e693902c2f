"""How a list is cut, and how its budget of connections is spent."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.slices import LARGEST_SLICE, MOST_SLICES, SIDE_BY_SIDE, Cut, cut, fan_out, range_name

totals = st.integers(0, 5_000_000)
budgets = st.integers(1, 2_000)
wishes = st.none() | st.integers(1, LARGEST_SLICE)


@pytest.mark.parametrize(
    ("total", "connections", "slices", "size"),
    [
        (1, 20, 1, 1),
        (10, 20, 10, 1),
        (11, 20, 6, 2),
        (100, 20, 10, 10),
        (5_000, 20, 10, 500),
        (20_000, 100, 1, 20_000),
        (20_000, 20, 5, 4_000),
        (20_000, 1, 20, 1_000),
        (1_000_000, 200, 50, 20_000),
    ],
)
def test_lists_of_every_size_are_cut_as_the_design_says(
    total: int, connections: int, slices: int, size: int
) -> None:
    found = cut(total, connections)
    assert found.size == size
    assert len(found.ranges()) == slices


def test_the_ranges_of_a_cut_are_named_from_one() -> None:
    assert Cut(25, 10).ranges() == [(1, 10), (11, 20), (21, 25)]
    assert range_name(11, 20) == "11-20"


def test_a_wish_is_kept_unless_it_makes_too_many_slices() -> None:
    assert cut(5_000, 20, slice_size=7).size == 7
    assert cut(100_000, 20, slice_size=1).size == 100
    assert cut(3, 20, slice_size=20_000).ranges() == [(1, 3)]


@given(totals, budgets, wishes)
def test_every_row_is_in_exactly_one_slice(total: int, connections: int, wish: int | None) -> None:
    found = cut(total, connections, wish)
    ranges = found.ranges()
    assert sum(last - first + 1 for first, last in ranges) == total
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(ranges)), "no gap, no overlap"
    assert not ranges or (ranges[0][0], ranges[-1][1]) == (1, total)
    assert found.size <= LARGEST_SLICE
    assert len(ranges) <= MOST_SLICES


@given(totals, budgets, wishes)
def test_the_budget_of_connections_is_used_and_never_exceeded(
    total: int, connections: int, wish: int | None
) -> None:
    found = cut(total, connections, wish)
    plan = fan_out(found, connections)
    assert 1 <= plan.at_once <= max(1, len(found.ranges()))
    assert plan.connections >= 1
    assert connections - plan.at_once < plan.at_once * plan.connections <= connections


def test_a_small_list_is_shown_side_by_side_and_a_large_one_goes_few_at_once() -> None:
    assert fan_out(cut(100, 20), 20) == (SIDE_BY_SIDE, 2, 0)
    assert fan_out(cut(100, 4), 4) == (4, 1, 0)
    assert fan_out(cut(100_000, 20), 20) == (1, 20, 1)
    assert fan_out(cut(1_000_000, 500), 500) == (2, 250, 1)
    assert fan_out(cut(20_000, 100), 100) == (1, 100, 0)


def test_an_empty_list_has_no_slices_and_a_plan_all_the_same() -> None:
    assert cut(0, 20).ranges() == []
    assert fan_out(cut(0, 20), 20).at_once == 1

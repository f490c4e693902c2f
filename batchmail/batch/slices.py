"""How a snapshot is cut into slices, and how many are in flight: the one pure function that decides speed.

Heartbeats of one batch share one workflow lock of some 400 acknowledgements a second; throughput is
connections a slice times acknowledgements a second. So a large list has few slices at once with many
connections each, and a small one is shown as ten or so side by side.
"""

from __future__ import annotations

from typing import NamedTuple

SIDE_BY_SIDE = 10
SMALL_LIST = 200
ROWS_PER_CONNECTION = 200
SMALLEST_LARGE_SLICE, LARGEST_SLICE = 1_000, 20_000
MOST_SLICES = 1_000
MOST_CONNECTIONS_A_SLICE = 250


class Cut(NamedTuple):
    """Row ranges of a snapshot: slices of `size` rows, from row 1 to row `total`."""

    total: int
    size: int

    def ranges(self) -> list[tuple[int, int]]:
        """(first, last) of every slice, 1-based and inclusive."""
        return [
            (first, min(first + self.size - 1, self.total)) for first in range(1, self.total + 1, self.size)
        ]


class FanOut(NamedTuple):
    """`at_once` slices open connections, `connections` each; `ahead` more are open already and wait for
    connections that others are done with."""

    at_once: int
    connections: int
    ahead: int


def cut(total: int, connections: int, slice_size: int | None = None) -> Cut:
    """Cut `total` recipients for `connections` connections.

    `slice_size` is the user's wish; it is raised where it would make more than MOST_SLICES slices, since a
    workflow's history is bounded.
    """
    if slice_size is None:
        if total <= SIDE_BY_SIDE * SMALLEST_LARGE_SLICE:
            slice_size = -(-total // SIDE_BY_SIDE)
        else:
            slice_size = min(max(ROWS_PER_CONNECTION * connections, SMALLEST_LARGE_SLICE), LARGEST_SLICE)
    fewest_rows = min(-(-total // MOST_SLICES), LARGEST_SLICE)
    return Cut(total, max(1, slice_size, fewest_rows))


def fan_out(cut: Cut, connections: int) -> FanOut:
    """How the batch's budget of connections is spent; never more than `connections` in all."""
    slices = len(range(0, cut.total, cut.size)) or 1
    if cut.total <= SMALL_LIST:
        at_once = min(SIDE_BY_SIDE, connections, slices)
        ahead = 0
    else:
        at_once = min(-(-connections // MOST_CONNECTIONS_A_SLICE), slices)
        ahead = 1 if slices > at_once else 0
    return FanOut(at_once, connections // at_once, ahead)


def range_name(first: int, last: int) -> str:
    """The row range as it stands in the store's names."""
    return f"{first}-{last}"

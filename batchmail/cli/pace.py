"""How fast a batch goes, and how long it will take: arithmetic over what was seen."""

from __future__ import annotations

from collections import deque

WINDOW = 10.0
"""Seconds looked back."""


class Pace:
    """Recipients a second over the last ten seconds, since that is what the relay does *now*."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, at: float, done: int) -> None:
        """At instant `at` (seconds, of any clock that only rises) `done` recipients were settled."""
        self._seen.append((at, done))
        # One sample from before the window stays, so that the window is always spanned.
        while len(self._seen) > 2 and self._seen[1][0] <= at - WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Recipients a second; 0 while too little was seen to tell."""
        if len(self._seen) < 2:
            return 0.0
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        return (after - before) / (ended - began) if ended > began else 0.0

    def left(self, total: int) -> float | None:
        """Seconds until `total` are settled; None where nobody can tell."""
        if not self._seen or self.rate <= 0:
            return None
        return max(0, total - self._seen[-1][1]) / self.rate

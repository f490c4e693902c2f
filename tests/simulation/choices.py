"""Who decides what happens next: dice, a life recorded before, or a script.

Every step of a life is one choice, as one number: from 0 on something usual (its place among what is
possible, and how much time passes before it), below 0 a mishap. Whoever always chooses 0 comes calmly to the
end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

Action = tuple[float, object, str, Callable[..., object], tuple[Any, ...]]
"""Weight among what is possible, who, what happens to him, and how: a function and its arguments."""

PAUSES = (0.0, 0.01, 0.1, 0.5)
"""Seconds that may pass before a step."""


def label(action: Action) -> str:
    """The action in words."""
    return f"{action[1]} {action[2]}"


def usual(place: int, pause: int = 0) -> int:
    """The choice of a usual action, after PAUSES[pause]."""
    return place * len(PAUSES) + pause


def mishap(place: int) -> int:
    """The choice of a mishap."""
    return -1 - place


class Choices(Protocol):
    """Decides one step after the other."""

    def pick(self, calm: Sequence[Action], rare: Callable[[], Sequence[Action]]) -> int:
        """One of `calm`, which is not empty, or of the mishaps that `rare` tells."""
        ...


TROUBLED_STEPS = 600


class Dice:
    """By chance, as the weights say. After TROUBLED_STEPS calm: who does not come to the end then is stuck.

    `trouble`: how often it is a mishap, where one is possible, once the first `quiet` steps are over.
    """

    def __init__(self, random: Random, trouble: float, quiet: int = 0) -> None:
        self._random = random.random
        self._trouble = trouble
        self._left = TROUBLED_STEPS
        self._troubled = TROUBLED_STEPS - quiet

    def pick(self, calm: Sequence[Action], rare: Callable[[], Sequence[Action]]) -> int:
        self._left -= 1
        if self._left < 0:
            return 0
        if self._left < self._troubled and self._random() < self._trouble:
            mishaps = rare()
            if any(one[0] for one in mishaps):
                return mishap(self._weighed(mishaps))
        return usual(self._weighed(calm), int(self._random() * len(PAUSES)))

    def _weighed(self, actions: Sequence[Action]) -> int:
        at = self._random() * sum([action[0] for action in actions])
        for place, action in enumerate(actions):
            at -= action[0]
            if at < 0:
                return place
        return len(actions) - 1


class Recorded:
    """As recorded; calm from there on. A number that fits no more (the code is another one) is calm too."""

    def __init__(self, taken: Iterable[int]) -> None:
        self._taken = iter(taken)

    def pick(self, calm: Sequence[Action], rare: Callable[[], Sequence[Action]]) -> int:
        choice = next(self._taken, 0)
        fits = choice < usual(len(calm)) if choice >= 0 else choice >= mishap(len(rare()) - 1)
        return choice if fits else 0


PATIENCE = 12


class Script:
    """By name: (label, pause) after (label, pause); then as `then` says, else calm.

    One that is not possible now is waited for calmly, PATIENCE steps at most; then it is left out.
    """

    def __init__(self, lines: Sequence[tuple[str, int]], then: Choices | None = None) -> None:
        self._lines = lines
        self._then = then
        self._next = 0
        self._waited = 0

    def pick(self, calm: Sequence[Action], rare: Callable[[], Sequence[Action]]) -> int:
        if self._next == len(self._lines):
            return self._then.pick(calm, rare) if self._then else 0
        wanted, pause = self._lines[self._next]
        for place, action in enumerate(calm):
            if label(action) == wanted:
                return self._found(usual(place, pause))
        for place, action in enumerate(rare()):
            if label(action) == wanted:
                return self._found(mishap(place))
        self._waited += 1
        if self._waited > PATIENCE:
            self._next, self._waited = self._next + 1, 0
        return 0

    def _found(self, choice: int) -> int:
        self._next, self._waited = self._next + 1, 0
        return choice


class Deviations:
    """Calm, but at a few steps: {step: choice}.

    `widths`: how many usual actions and mishaps there were to choose from, at each step after the last one.
    """

    def __init__(self, taken: Mapping[int, int]) -> None:
        self._taken = taken
        self._last = max(taken, default=-1)
        self._step = -1
        self.widths: list[tuple[int, int]] = []

    def pick(self, calm: Sequence[Action], rare: Callable[[], Sequence[Action]]) -> int:
        self._step += 1
        if self._step > self._last:
            self.widths.append((len(calm), len(rare())))
        return self._taken.get(self._step, 0)

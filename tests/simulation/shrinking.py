"""The same trouble told shorter: a life that breaks a promise, cut down as far as it still breaks it.

First the batch and its budgets, then the steps, by name: whole stretches, then one by one; what is left out
happens calmly. What is tried counts, not what would be shortest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.choices import PAUSES, Action, Choices, Recorded, Script, label, mishap
from tests.simulation.lives import Broken, Plant, again, broken_by
from tests.simulation.setting import Setting
from tests.simulation.world import World

MOST_TRIES = 3_000

Line = tuple[str, int]
"""A step: its label, and the pause before it."""


def shrunk(broken: Broken, plant: Plant | None = None, tries: int = MOST_TRIES) -> Broken:
    """A shorter life that breaks the same promise."""
    return _Shrinking(broken, plant, tries).run()


class _Shrinking:
    def __init__(self, broken: Broken, plant: Plant | None, tries: int) -> None:
        self._best = broken
        self._plant = plant
        self._tries = tries
        self._lines = self._told(broken)

    def run(self) -> Broken:
        before = None
        while before != self._best and self._tries > 0:
            before = self._best
            self._lower_setting()
            self._leave_out_steps()
            self._calm_down()
        return self._best

    def _lower_setting(self) -> None:
        for name, default in Setting._field_defaults.items():
            value = int(getattr(self._best.setting, name))
            least = min(int(default), value)
            for lower in range(least, value):
                smaller = self._best.setting._replace(**{name: type(default)(lower)})
                if self._holds(smaller, self._lines):
                    break

    def _leave_out_steps(self) -> None:
        size = max(1, len(self._lines) // 2)
        while size:
            start = 0
            while start < len(self._lines) and self._tries > 0:
                if not self._holds(self._best.setting, self._lines[:start] + self._lines[start + size :]):
                    start += size
            size //= 2

    def _calm_down(self) -> None:
        """Where the calm choice does as well it is taken."""
        for place in reversed(range(len(self._best.taken))):
            taken = self._best.taken
            if place < len(taken) and taken[place] and self._tries > 0:
                calmer = (*taken[:place], 0, *taken[place + 1 :])
                if self._breaks(again(self._best.setting, calmer, self._plant)):
                    self._lines = self._told(self._best)

    def _holds(self, setting: Setting, lines: Sequence[Line]) -> bool:
        """Whether this breaks the same promise; then it is the best so far."""
        if self._tries <= 0 or not self._breaks(World(setting, Script(lines), plant=self._plant)):
            return False
        self._lines = list(lines)
        return True

    def _breaks(self, world: World) -> bool:
        self._tries -= 1
        broken = broken_by(world)
        if broken is None or broken.rule != self._best.rule:
            return False
        self._best = broken
        return True

    def _told(self, broken: Broken) -> list[Line]:
        """What was chosen, by name."""
        noting = _Noting(Recorded(broken.taken))
        broken_by(World(broken.setting, noting, plant=self._plant))
        return noting.lines


class _Noting:
    """Chooses as another does, and notes it by name."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self.lines: list[Line] = []

    def pick(self, calm: Sequence[Action], rare: Callable[[], Sequence[Action]]) -> int:
        choice = self._choices.pick(calm, rare)
        if choice >= 0:
            place, pause = divmod(choice, len(PAUSES))
            self.lines.append((label(calm[place]), pause))
        else:
            self.lines.append((label(rare()[mishap(choice)]), 0))
        return choice

"""Every life of a small batch that deviates from the calm one in a few steps.

A deviation is a mishap, or an order of things other than the first one possible. Chance finds what many
orders lead to; this finds what only one does, if it is a matter of few steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.simulation.choices import Deviations, mishap, usual
from tests.simulation.lives import Broken, Lived, Plant, broken_by
from tests.simulation.setting import Setting
from tests.simulation.world import World


def search(setting: Setting, deviations: int, plant: Plant | None = None, most: int | None = None) -> Lived:
    """Lead the lives with up to so many deviations, fewer first, up to the first that breaks a promise; no
    more than `most`."""
    lives = steps = 0
    happened = Counter[str]()
    waiting: list[dict[int, int]] = [{}]
    for depth in range(deviations + 1):
        further: list[dict[int, int]] = []
        for taken in waiting:
            choices = Deviations(taken)
            world = World(setting, choices, plant=plant)
            broken: Broken | None = broken_by(world)
            lives += 1
            steps += len(world.taken)
            happened.update(world.happened)
            if broken or lives == most:
                return Lived(lives, steps, happened, broken)
            if depth < deviations:
                further += _deviating(taken, choices.widths)
        waiting = further
    return Lived(lives, steps, happened)


def _deviating(taken: dict[int, int], widths: list[tuple[int, int]]) -> Iterator[dict[int, int]]:
    """`taken` and one deviation more, at a later step."""
    first = max(taken, default=-1) + 1
    for step, (calm, rare) in enumerate(widths, start=first):
        for place in range(1, calm):
            yield {**taken, step: usual(place)}
        for place in range(rare):
            yield {**taken, step: mishap(place)}

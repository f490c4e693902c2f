"""Many lives, one after the other, each from its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from batchmail.batch.attempt import Attempt
from tests.simulation.choices import Dice, Recorded, Script
from tests.simulation.promises import Violation
from tests.simulation.run import Run
from tests.simulation.setting import Setting
from tests.simulation.worker import Worker
from tests.simulation.world import World

TROUBLE = (0.03, 0.1, 0.3)
"""How often a step is a mishap; one of these in each life."""

ODDS = (0.02, 0.1, 0.5, 1.0)
"""How likely a kind of step is beside the others; one of these for each kind in each life."""

ILLS = (0.0, 0.0, 0.1, 1.0)
"""The same of mishaps."""

Plant = type[Attempt] | type[Worker] | type[Run]


class Broken(NamedTuple):
    """A life that broke a promise, and how it is led again: by its setting and its choices."""

    setting: Setting
    taken: tuple[int, ...]
    rule: str
    what: str


class Lived(NamedTuple):
    """What came of many lives: how many, their steps, how often each mishap happened in them, and the first
    that broke a promise."""

    lives: int
    steps: int
    happened: Counter[str]
    broken: Broken | None = None
    seed: int | None = None


def from_seed(
    seed: int, plant: Plant | None = None, fixed: Mapping[str, Any] = {}, script: Sequence[str] = ()
) -> World:
    """The life of this seed; `fixed`: what of its setting is not drawn, `script`: how it begins."""
    random = Random(seed)
    setting = Setting.drawn(random)._replace(**fixed)
    quiet = random.choice((0, 0, 20, 50))
    dice = Dice(random, random.choice(TROUBLE), int(random.random() * quiet))
    choices = Script([(line, 0) for line in script], then=dice) if script else dice
    return World(
        setting,
        choices,
        odds=lambda: random.choice(ODDS),
        ills=lambda: random.choice(ILLS),
        plant=plant,
    )


def again(setting: Setting, taken: Iterable[int], plant: Plant | None = None) -> World:
    """A life led again, with its story."""
    return World(setting, Recorded(taken), tells=True, plant=plant)


def broken_by(world: World) -> Broken | None:
    """Lead this life; what it broke, if it did."""
    try:
        world.live()
    except Violation as violation:
        return Broken(world.setting, tuple(world.taken), violation.rule, str(violation))
    return None


def live(
    seeds: Iterable[int],
    plant: Plant | None = None,
    fixed: Mapping[str, Any] = {},
    script: Sequence[str] = (),
) -> Lived:
    """Lead the lives of these seeds, up to the first that breaks a promise."""
    lives = steps = 0
    happened = Counter[str]()
    for seed in seeds:
        world = from_seed(seed, plant, fixed, script)
        broken = broken_by(world)
        lives += 1
        steps += len(world.taken)
        happened.update(world.happened)
        if broken:
            return Lived(lives, steps, happened, broken, seed)
    return Lived(lives, steps, happened)

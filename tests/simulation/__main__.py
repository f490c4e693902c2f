"""Lead a batch's life many times, each with other troubles, and say what broke.

python -m tests.simulation --lives 100000            from seeds, on all cores
python -m tests.simulation --all 2 --setting rows=1,faults=2    every life with up to 2 deviations
python -m tests.simulation --setting … --life …      one life again, with its story (as a failure prints it)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.lives import Broken, Lived, Plant, again, broken_by, live
from tests.simulation.planted import BUGS
from tests.simulation.search import search
from tests.simulation.setting import Setting
from tests.simulation.shrinking import shrunk

CHUNK = 250
TOLD_EVERY = 10_000


def main() -> int:
    wishes = _parser().parse_args()
    plant = BUGS[wishes.bug].plant if wishes.bug else None
    if wishes.life is not None:
        return _tell(Setting.parsed(wishes.setting), _read(wishes.life), plant)
    began = time.monotonic()
    if wishes.all is not None:
        lived = search(Setting.parsed(wishes.setting), wishes.all, plant)
        what = f"every life with up to {wishes.all} deviations of {wishes.setting}"
    else:
        seeds = range(wishes.seed, wishes.seed + wishes.lives)
        lived = _all_cores(seeds, plant, wishes.setting, wishes.processes)
        what = f"seeds {seeds.start} to {seeds.stop - 1}"
    took = time.monotonic() - began
    print(f"{what}: {lived.lives:,} lives, {lived.steps:,} steps, {lived.lives / took:,.0f} lives/s")
    for kind, count in sorted(lived.happened.items()):
        print(f"  {count:9,}  {kind}")
    if lived.broken is None:
        print("No promise was broken.")
        return 0
    print(f"\n{lived.broken.what}" + (f" (seed {lived.seed})" if lived.seed is not None else ""))
    short = shrunk(lived.broken, plant)
    _tell(short.setting, short.taken, plant)
    print("\nThis life again:\n  " + _command(short, wishes.bug))
    return 1


def _all_cores(seeds: range, plant: Plant | None, setting: str, processes: int) -> Lived:
    """The lives of these seeds; of several that broke something, the first."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    fixed = Setting.given(setting)
    lives = steps = 0
    happened = Counter[str]()
    with ProcessPoolExecutor(processes) as pool:
        for lived in pool.map(partial(live, plant=plant, fixed=fixed), chunks):
            lives, steps = lives + lived.lives, steps + lived.steps
            happened.update(lived.happened)
            if lives % TOLD_EVERY < CHUNK:
                print(f"{lives:,} lives …", flush=True)
            if lived.broken:
                pool.shutdown(cancel_futures=True)
                return Lived(lives, steps, happened, lived.broken, lived.seed)
    return Lived(lives, steps, happened)


def _tell(setting: Setting, taken: tuple[int, ...], plant: Plant | None) -> int:
    """One life's story; whether it broke something."""
    world = again(setting, taken, plant)
    broken = broken_by(world)
    print(f"\n{setting}", *world.story, sep="\n")
    print(broken.what if broken else "No promise was broken.")
    return 1 if broken else 0


def _command(broken: Broken, bug: str | None) -> str:
    planted = f" --bug {bug}" if bug else ""
    life = ",".join(_deviations(broken.taken))
    return f"python -m tests.simulation --setting {broken.setting} --life {life or '-'}{planted}"


def _deviations(taken: tuple[int, ...]) -> Iterator[str]:
    """`step:choice` for every choice that is not the calm one."""
    return (f"{step}:{choice}" for step, choice in enumerate(taken) if choice)


def _read(life: str) -> tuple[int, ...]:
    """What `_deviations` wrote."""
    words = [word.split(":") for word in life.split(",") if word != "-"]
    known = {int(step): int(choice) for step, choice in words}
    return tuple(known.get(step, 0) for step in range(max(known, default=-1) + 1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lives", type=int, default=100_000, help="how many (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's seed (default: 0)")
    parser.add_argument("--setting", default="", help="what of the setting is not drawn: rows=2,faults=1")
    parser.add_argument("--all", type=int, metavar="N", help="every life with up to N deviations instead")
    parser.add_argument("--life", metavar="CHOICES", help="one life again")
    parser.add_argument("--bug", choices=BUGS, metavar="NAME", help=f"with a bug planted: {', '.join(BUGS)}")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="(default: one a core)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Decide which fault strikes: by count, by odds, by rate."""

from __future__ import annotations

import re
import time
from collections import Counter
from hashlib import blake2b

from tests.relays.behaviour import Behaviour, Fault, FaultStage


class Faults:
    """The faults of one behaviour, and how often each has been met and has struck."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self._met: Counter[int] = Counter()
        self._struck: Counter[int] = Counter()
        self._occasions: Counter[tuple[int, str]] = Counter()
        self._rate = None if behave.rate is None else Rate(behave.rate)

    def strikes(self, stage: FaultStage, address: str) -> Fault | None:
        """The first fault that strikes here and now; a rate exceeded comes before all others."""
        if self._rate is not None and stage == self._behave.rate_at and not self._rate.admits():
            return Fault(stage=stage, reply=self._behave.over_rate)
        for place, fault in enumerate(self._behave.faults):
            if fault.stage != stage or not re.search(fault.match, address):
                continue
            self._met[place] += 1
            if self._met[place] <= fault.skip or self._struck[place] == fault.times:
                continue
            if not self._falls(place, fault, address):
                continue
            self._struck[place] += 1
            return fault
        return None

    def _falls(self, place: int, fault: Fault, address: str) -> bool:
        if fault.odds >= 1:
            return True
        self._occasions[place, address] += 1
        return fate(self._behave.seed, place, address, self._occasions[place, address]) < fault.odds


def fate(seed: int, place: int, address: str, occasion: int) -> float:
    """0 to 1, by these four alone: what several connections do at once does not change it."""
    dice = blake2b(f"{seed} {place} {occasion} {address}".encode(), digest_size=8).digest()
    return int.from_bytes(dice) / 2**64


class Rate:
    """So many a second, a second's worth at once; refused ones do not count."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(per_second, 1.0)
        self._left = self._most
        self._then = time.monotonic()

    def admits(self) -> bool:
        """Whether one more gets by now."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._then) * self._per_second)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

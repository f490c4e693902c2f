"""How large a simulated batch is, and how much may go wrong in its life."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

from batchmail.batch.options import InDoubt
from batchmail.batch.retry import Retries


class Setting(NamedTuple):
    """One life's batch, and its budgets: how often each of the others may happen.

    `slices` of `rows` each, `at_once` side by side and `ahead` more opened early; a deferred recipient is
    given up after `tries` delays, or by time. `pace`: how slow everything is.
    """

    slices: int = 1
    rows: int = 2
    connections: int = 1
    at_once: int = 1
    ahead: int = 0
    tries: int = 2
    gives_up: bool = False
    hold: bool = False
    pace: int = 1
    faults: int = 0
    refusals: int = 0
    """Verdicts of the relay other than its yes."""
    evictions: int = 0
    stops: int = 0
    pauses: int = 0
    cancels: int = 0
    continues: int = 0
    activity_pauses: int = 0
    activity_resets: int = 0
    workflow_resets: int = 0

    @classmethod
    def drawn(cls, random: Random) -> Setting:
        """Mostly small, since rare orders show in small lives; each kind of trouble is absent from many."""

        def up_to(most: int, odds: float = 1.0) -> int:
            return int(random.random() * (most + 1)) if random.random() < odds else 0

        slices = 1 + (random.random() < 0.4) + (random.random() < 0.15)
        resets = random.random() < 0.5
        return cls(
            slices=slices,
            rows=1 + up_to(3) if slices == 1 else 1 + up_to(1),
            connections=1 + up_to(1),
            at_once=1 + up_to(1) if slices > 1 else 1,
            ahead=up_to(1) if slices > 1 else 0,
            tries=up_to(3),
            gives_up=random.random() < 0.2,
            hold=random.random() < 0.5,
            pace=1 if random.random() < 0.7 else 5,
            faults=up_to(8),
            refusals=up_to(6, 0.7),
            evictions=up_to(1, 0.2),
            stops=up_to(2, 0.6),
            pauses=up_to(1, 0.3),
            cancels=up_to(1, 0.2),
            continues=up_to(2, 0.3),
            activity_pauses=up_to(1, 0.2),
            activity_resets=up_to(2) if resets else 0,
            workflow_resets=up_to(1) if resets else 0,
        )

    @classmethod
    def given(cls, text: str) -> dict[str, Any]:
        """What is named in a text such as `rows=2,faults=1`. Raises ValueError for what no setting has."""
        words = dict(word.split("=", 1) for word in text.split(",") if word)
        if unknown := words.keys() - cls._field_defaults.keys():
            known = ", ".join(cls._fields)
            raise ValueError(f"a setting has no {', '.join(sorted(unknown))}, but {known}")
        return {name: type(cls._field_defaults[name])(int(value)) for name, value in words.items()}

    @classmethod
    def parsed(cls, text: str) -> Setting:
        """What `str` wrote; whatever is left out has its default."""
        return cls()._replace(**cls.given(text))

    def __str__(self) -> str:
        return ",".join(
            f"{name}={int(value)}"
            for name, value in self._asdict().items()
            if value != self._field_defaults[name]
        )

    @property
    def in_doubt(self) -> InDoubt:
        """The batch's policy."""
        return InDoubt.HOLD if self.hold else InDoubt.RESEND

    @property
    def retries(self) -> Retries:
        """How deferred recipients are tried again."""
        delays = tuple(timedelta(seconds=seconds) for seconds in (0.5, 3, 60))
        if self.gives_up:
            return Retries(delays=delays[:2], give_up_after=timedelta(seconds=10 * self.tries), spread="b")
        return Retries(delays=delays[: self.tries])

    @property
    def total(self) -> int:
        """Recipients in all."""
        return self.slices * self.rows

    @property
    def undisturbed(self) -> bool:
        """Whether no operator resets anything."""
        return not (self.activity_resets or self.workflow_resets)

"""Thousands of lives of a slice, none of which may break a promise; and planted bugs, each of which must."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from batchmail.batch.attempt import Answer, Attempt, Intent, Phase
from batchmail.batch.outcomes import Follows, Verdict
from tests.pure.simulated_worker import Worker
from tests.pure.simulation import Violation, World

LIVES = int(os.environ.get("SIMULATED_LIVES", "2000"))

NO_RESETS = {"activity_resets": 0, "workflow_resets": 0}


def live_on(
    lives: int,
    attempt: type[Attempt] = Attempt,
    worker: type[Worker] = Worker,
    setting: Mapping[str, int] = {},
) -> None:
    for seed in range(lives):
        World(seed, attempt, worker, setting).run()


def test_no_life_of_a_slice_breaks_a_promise() -> None:
    live_on(LIVES)


def test_no_streak_of_refusals_breaks_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchmail.batch.attempt.STREAK", 2)
    live_on(LIVES // 4)


def test_the_same_seed_is_the_same_life() -> None:
    one, other = World(7), World(7)
    one.run()
    other.run()
    assert one.story == other.story


class WithoutLease(Attempt):
    def has_lease(self, now: float) -> bool:
        return self.phase is not Phase.DEAD


class ResendsBeforeItsAcknowledgement(Attempt):
    def name(self) -> Intent | None:
        intent = super().name()
        if intent is not None:
            intent.acknowledged = self.ledger.is_marked(intent.row)
        return intent


class GoesOnAfterAnUnclearAnswer(Attempt):
    def heard(self, answer: Answer, now: float) -> list[Intent]:
        if answer is Answer.UNCLEAR:
            self._unsent = self._asked + self._unsent
            self._asked, self._asked_at = [], None
            return []
        return super().heard(answer, now)


class AcknowledgesTheUnsent(Attempt):
    def heard(self, answer: Answer, now: float) -> list[Intent]:
        self._asked += self._unsent
        return super().heard(answer, now)


class DropsTheMark(Attempt):
    def concluded(self, intent: Intent, verdict: Verdict) -> Follows:
        follows = super().concluded(intent, verdict)
        if follows is Follows.SENT:
            self.ledger.states[intent.row] = ord("S")
        return follows


class WithoutMarker(Worker):
    def write_marker(self) -> None:
        self.marked = True


class WithoutSecondListing(Worker):
    def list_again(self) -> None:
        self.listed_again = True


@pytest.mark.parametrize(
    ("bug", "rules", "setting"),
    [
        (WithoutLease, {"P0"}, NO_RESETS),
        (ResendsBeforeItsAcknowledgement, {"P7"}, NO_RESETS),
        (GoesOnAfterAnUnclearAnswer, {"P2", "P3", "P5"}, {**NO_RESETS, "rows": 3, "faults": 6}),
        (AcknowledgesTheUnsent, {"P2", "P3", "P8"}, NO_RESETS),
        (DropsTheMark, {"P2"}, NO_RESETS),
        (WithoutMarker, {"P2", "P3"}, {"workflow_resets": 1}),
        (WithoutSecondListing, {"P2", "P3"}, {"rows": 2, "connections": 1, "activity_resets": 2}),
    ],
)
def test_a_planted_bug_is_found(
    bug: type[Attempt] | type[Worker], rules: set[str], setting: Mapping[str, int]
) -> None:
    attempt = bug if issubclass(bug, Attempt) else Attempt
    worker = bug if issubclass(bug, Worker) else Worker
    with pytest.raises(Violation) as found:
        live_on(4 * LIVES, attempt, worker, setting)
    assert found.value.rule in rules, found.value

"""Bugs planted on purpose: each rule of "The life of a slice" left out once, and what that must break.

A life led by one of these has to be found by the promises, for the right reason; which says that the others,
led by the product's own code, are worth something.
"""

from __future__ import annotations

from typing import NamedTuple

from batchmail.batch import ledger as at
from batchmail.batch.attempt import Answer, Attempt, Intent, Phase
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.outcomes import Follows, Verdict
from batchmail.batch.tasks import Part, PartResult
from tests.simulation.choices import Action
from tests.simulation.run import Run
from tests.simulation.worker import Worker


class NoLease(Attempt):
    def has_lease(self, now: float) -> bool:
        return self.phase is not Phase.DEAD


class LeaseFromTheAnswer(Attempt):
    """The lease counts from the answer's arrival, not from the sending."""

    def heard(self, answer: Answer, now: float) -> list[Intent]:
        if self._asked_at is not None:
            self._asked_at = now
        return super().heard(answer, now)


class ResendsBeforeItsAcknowledgement(Attempt):
    """Who was in doubt is sent again on the acknowledgement that an earlier attempt had."""

    def name(self) -> Intent | None:
        intent = super().name()
        if intent is not None:
            intent.acknowledged = self.ledger.is_marked(intent.row)
        return intent


class SendsTheUnacknowledged(Attempt):
    """A yes is taken for the intents that were named after the heartbeat had left."""

    def heard(self, answer: Answer, now: float) -> list[Intent]:
        self._asked += self._unsent
        return super().heard(answer, now)


class GoesOnAfterAnUnclearAnswer(Attempt):
    def heard(self, answer: Answer, now: float) -> list[Intent]:
        if answer is Answer.UNCLEAR:
            self._unsent = self._asked + self._unsent
            self._asked, self._asked_at = [], None
            return []
        return super().heard(answer, now)


class ForgetsTheMarkOnSuccess(Attempt):
    """Who was in doubt and is then accepted is reported as if nothing had been."""

    def concluded(self, intent: Intent, verdict: Verdict) -> Follows:
        follows = super().concluded(intent, verdict)
        if follows is Follows.SENT:
            self.ledger.states[intent.row] = at.SENT
        return follows


class SiblingsGoOn(Worker):
    """The attempt fails before what its other connections have in flight is settled, and those go on."""

    silent = False

    def usual(self, calm: list[Action]) -> None:
        super().usual(calm)
        if self.attempt.phase is Phase.FAILING and not self.attempt.is_drained and not self.silent:
            self.say("failure")
            self.silent = True

    def _end(self, calm: list[Action]) -> None:
        if not self.silent:
            super()._end(calm)


class FilesTooEarly(Worker):
    """The outcome file is written before the server has all of the ledger."""

    def _end(self, calm: list[Action]) -> None:
        if not self.filed and self.attempt.phase is not Phase.FAILING:
            calm.append((1, self, "writes its outcome file", self.write_file, ()))
        else:
            super()._end(calm)


class DropsMarksAtHandBack(Worker):
    def result(self, ledger: Ledger) -> PartResult:
        result = super().result(ledger)
        if result.rest is None:
            return result
        rest = Ledger.read(result.rest)
        rest.states = rest.states.translate(bytes.maketrans(b"pd", b"PD"))
        return result.model_copy(update={"rest": rest.record()})


class WithoutMarker(Worker):
    def write_marker(self) -> None:
        self.marked = True


class WithoutSecondListing(Worker):
    def list_again(self) -> None:
        self.listed_again = True


class NamesFilesByPart(Worker):
    """An outcome file is named by its slice and part, not by its content."""

    def file_name(self, record: LedgerRecord) -> str:
        return str(self.activity.place)


class HandsBackWithoutNonces(Worker):
    def result(self, ledger: Ledger) -> PartResult:
        result = super().result(ledger)
        if result.rest is None:
            return result
        return result.model_copy(update={"rest": result.rest.model_copy(update={"nonces": ()})})


class StartsAfresh(Worker):
    """A ledger that cannot be read is taken for none."""

    def found(self) -> Ledger:
        if self.activity.details is None:
            return super().found()
        return Ledger.of_rows(self.activity.part.first, self.activity.part.last)


class ForgetsTheLedger(Run):
    """What a part handed back is scheduled again without its ledger."""

    async def _send(self, part: Part) -> PartResult:
        return await super()._send(part.model_copy(update={"ledger": None}))


class ForgetsAFile(Run):
    """The file of a part that handed back is not noted."""

    async def _send(self, part: Part) -> PartResult:
        result = await super()._send(part)
        return result.model_copy(update={"file": None}) if result.rest else result


class NeverDue(Run):
    """Deferred recipients are scheduled without being called due."""

    async def _send(self, part: Part) -> PartResult:
        return await super()._send(part.model_copy(update={"due": False}))


class Bug(NamedTuple):
    """What stands in for the product's or the driver's class, and the `rules` that may tell it.

    `setting`: in which lives it can show; `script`: how those begin in which it often does.
    """

    plant: type[Attempt] | type[Worker] | type[Run]
    rules: set[str]
    setting: str = "activity_resets=0,workflow_resets=0"
    script: tuple[str, ...] = ()


_ONE_SLICE = (
    "slices=1,at_once=1,refusals=0,pauses=0,cancels=0,continues=0,activity_pauses=0,workflow_resets=0"
)

BUGS = {
    bug.plant.__name__: bug
    for bug in (
        Bug(NoLease, {"P0"}),
        Bug(
            LeaseFromTheAnswer,
            {"P0"},
            f"{_ONE_SLICE},activity_resets=0,connections=1,faults=3",
            ("a0 names somebody", "a0 sends a heartbeat", "a0's heartbeat reaches the server", "time passes"),
        ),
        Bug(ResendsBeforeItsAcknowledgement, {"P7"}),
        Bug(SendsTheUnacknowledged, {"P2", "P3", "P8"}),
        Bug(
            GoesOnAfterAnUnclearAnswer,
            {"P2", "P3", "P5", "P8"},
            f"{_ONE_SLICE},activity_resets=0,rows=3,faults=3,stops=0",
            ("a0 names somebody", "a0 sends a heartbeat", "a0 waits no longer", "a0 sends a heartbeat"),
        ),
        Bug(
            SiblingsGoOn,
            {"P0"},
            f"{_ONE_SLICE},activity_resets=0,rows=3,connections=2,faults=2,stops=0",
            (
                "a0 names somebody",
                "a0 sends a heartbeat",
                "a0's heartbeat reaches the server",
                "a0 names somebody",
                "a0 hears YES",
                "a0 sends a heartbeat",
                "a0 waits no longer",
            ),
        ),
        Bug(FilesTooEarly, {"P5"}),
        Bug(ForgetsTheMarkOnSuccess, {"P2"}),
        Bug(DropsMarksAtHandBack, {"P2", "P8"}),
        Bug(
            NamesFilesByPart,
            {"P1"},
            f"{_ONE_SLICE},activity_resets=0,rows=2,connections=1,faults=1,stops=1",
            (
                "a0's mail to 1 is taken",
                "a0's connection for 1 hears: sent",
                "a0 is told to hand back",
                "a0 sends a heartbeat",
                "a0's heartbeat reaches the server",
                "a0 hears YES",
                "a0 freezes",
            ),
        ),
        Bug(HandsBackWithoutNonces, {"P3", "P4"}),
        Bug(WithoutMarker, {"P2", "P3"}, "workflow_resets=1"),
        Bug(
            WithoutSecondListing,
            {"P2", "P3"},
            f"{_ONE_SLICE},activity_resets=1,rows=2,connections=1,faults=1,stops=0",
            (
                "part 0 (1-2) is started",
                "a0 freezes",
                "part 0 (1-2) times out",
                "part 0 (1-2) is reset",
                "part 0 (1-2) is started",
                "a0 thaws",
            ),
        ),
        Bug(StartsAfresh, {"P3", "P4", "P5"}),
        Bug(ForgetsTheLedger, {"P3", "P4", "P9"}),
        Bug(ForgetsAFile, {"P1"}),
        Bug(NeverDue, {"P6"}),
    )
}

"""One attempt in the simulation: the real Attempt and Ledger, driven as the activity drives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from batchmail.batch.attempt import Answer, Intent, Phase
from batchmail.batch.ledger import PENDING, PENDING_MARKED, Ledger, LedgerRecord
from batchmail.batch.outcomes import Cause, Follows, Outcome, Stage, Verdict
from batchmail.batch.progress import Control
from batchmail.batch.tasks import PartResult
from tests.simulation.choices import Action
from tests.simulation.server import LEASE, Activity, Message

if TYPE_CHECKING:
    from tests.simulation.world import World

TAKEN = Verdict(Follows.SENT, Cause(Stage.DOT, 250))
REFUSED = Verdict(Follows.REJECTED, Cause(Stage.RCPT, 550, "5.1.1"))
GREYLISTED = Verdict(Follows.DEFERRED, Cause(Stage.RCPT, 450, "4.7.1"))
AT_FAULT = Verdict(Follows.RELAY_FAULT, Cause(Stage.MAIL, 530, "5.7.0"))
LOST_BEFORE = Verdict(Follows.PENDING, Cause(Stage.DATA))
LOST_AFTER = Verdict(Follows.IN_DOUBT, Cause(Stage.DOT))

OTHER_VERDICTS = {"rejects": REFUSED, "defers": GREYLISTED, "is at fault for": AT_FAULT}

_HEARS = {answer: f"hears {answer.name}" for answer in Answer}
_SAYS = {verdict: f"hears: {verdict.follows}" for verdict in (TAKEN, LOST_AFTER, *OTHER_VERDICTS.values())}


@dataclass(eq=False, slots=True)
class Lane:
    """One connection: the intent it carries, whether the relay wants the body, its last word."""

    worker: Worker
    intent: Intent | None = None
    ready: bool = False
    verdict: Verdict | None = None

    def __str__(self) -> str:
        row = self.worker.first + self.intent.row if self.intent else ""
        return f"{self.worker}'s connection for {row}" if row else f"{self.worker}'s connection"


@dataclass(eq=False, slots=True)
class Body:
    """A body on its way to the relay."""

    intent: Intent
    lane: Lane

    @property
    def row(self) -> int:
        """The batch's row, from 1."""
        return self.lane.worker.first + self.intent.row

    def __str__(self) -> str:
        return f"{self.lane.worker}'s mail to {self.row}"


class Worker:
    """A process with one attempt; `offer` says what it may do next."""

    def __init__(self, world: World, activity: Activity, place: int) -> None:
        self.world, self.activity, self.number = world, activity, activity.number
        self.place, self.name = place, f"a{place}"
        self.first, self.range = activity.part.first, activity.range
        self.attempt = world.attempt_class(
            self.found(),
            self.name,
            in_doubt=activity.part.in_doubt,
            lease=LEASE,
            last_try=activity.part.last_try,
        )
        self.lanes = [Lane(self) for _ in range(activity.part.connections)]
        self.beat: Message | None = None
        self.answer: Answer | None = None
        self.told: Control | None = None
        self.frozen = self.over = self.marked = self.listed_again = False
        self.file: str | None = None
        self.filed = False

    def __str__(self) -> str:
        return self.name

    def found(self) -> Ledger:
        """The ledger: what the last attempt committed, else what was handed back, else all rows pending."""
        part, details = self.activity.part, self.activity.details
        if details is not None:
            return Ledger.read(details)
        ledger = Ledger.read(part.ledger) if part.ledger else Ledger.of_rows(part.first, part.last)
        if part.due:
            ledger.retry()
        return ledger

    @property
    def alive(self) -> bool:
        return not self.over and self.attempt.phase is not Phase.DEAD

    @property
    def is_current(self) -> bool:
        """Whether it is the attempt that the server wants to hear of."""
        activity = self.activity
        return activity.running and activity.number == self.number and activity in self.world.activities

    def usual(self, calm: list[Action]) -> None:
        """Adds what it may do next, where nothing goes wrong."""
        attempt = self.attempt
        drained = attempt.is_drained
        if drained:
            attempt.stop("nobody is left")
            attempt.settle_the_rest()
        phase = attempt.phase
        if self.answer is not None:
            calm.append((2, self, _HEARS[self.answer], self.hear, (self.answer,)))
        elif self.beat is not None and self.beat.gone:
            calm.append((1, self, _HEARS[Answer.UNCLEAR], self.hear, (Answer.UNCLEAR,)))
        if phase is Phase.MARKING:
            if self.marked:
                calm.append((1, self, "lists the markers", self.list_markers, ()))
            else:
                calm.append((1, self, "writes its marker", self.write_marker, ()))
        if phase not in (Phase.STOPPING, Phase.FAILING):
            wanted = self.world.run.control(self.range)
            if wanted is not self.told:
                calm.append((1, self, "asks what is wanted", self.ask, (wanted,)))
        for lane in self.lanes:
            self._lane(lane, calm)
        if drained:
            self._end(calm)
        due = attempt.has_news or attempt.lease_left(self.world.now) < LEASE / 2
        if self.beat is None and due and phase is not Phase.FAILING:
            calm.append((1, self, "sends a heartbeat", self.send_heartbeat, ()))

    def _lane(self, lane: Lane, calm: list[Action]) -> None:
        intent = lane.intent
        if intent is None or not intent.open:
            if self.told is not None and self.told.opens_connections and self.attempt.has_pending:
                calm.append((2, self, "names somebody", self.take, (lane,)))
        elif lane.verdict is not None:
            calm.append((1, lane, _SAYS[lane.verdict], self.conclude, (lane, lane.verdict)))
        elif not lane.ready:
            calm.append((1, lane, "hears 354", setattr, (lane, "ready", True)))
        elif intent.acknowledged and not intent.body_out:
            calm.append((1, lane, "sends the body", self.send_body, (intent, lane)))

    def _end(self, calm: list[Action]) -> None:
        if self.attempt.phase is Phase.FAILING:
            calm.append((1, self, "fails with its ledger", self.end, ("failure",)))
        elif self.attempt.is_acknowledged:
            if not self.filed:
                calm.append((1, self, "writes its outcome file", self.write_file, ()))
            elif not self.listed_again:
                calm.append((1, self, "lists the markers again", self.list_again, ()))
            else:
                calm.append((1, self, "sends its result", self.end, ("result",)))

    def mishaps(self, add: Callable[..., None]) -> None:
        """Adds what may go wrong with it, and who may stop it."""
        attempt = self.attempt
        if self.beat is not None:
            add("unclear", self, "waits no longer", self.hear, Answer.UNCLEAR)
        if attempt.phase not in (Phase.STOPPING, Phase.FAILING):
            add("stop", self, "is told to hand back", attempt.stop, "ten minutes", budget="stops")
        elif attempt.phase is Phase.STOPPING and not self.filed:
            add("give up", self, "gives up waiting", attempt.give_up, budget="stops")
        for lane in self.lanes:
            intent = lane.intent
            if intent is None or not intent.open:
                continue
            if lane.verdict is None and not lane.ready:
                for what, verdict in OTHER_VERDICTS.items():
                    add(
                        f"relay {what}",
                        lane,
                        f"hears {what}",
                        self.conclude,
                        lane,
                        verdict,
                        budget="refusals",
                    )
            lost = LOST_AFTER if intent.body_out else LOST_BEFORE
            add("drop", lane, "is lost", self.conclude, lane, lost)
            add("close", lane, "is closed", attempt.closed, intent)

    # What it does

    def send_heartbeat(self) -> None:
        record = self.attempt.heartbeat(self.world.now)
        if record is not None:
            self.beat = Message("heartbeat", self, record, bytes(self.attempt.ledger.states))
            self.world.net.append(self.beat)

    def hear(self, answer: Answer) -> None:
        self.beat = self.answer = None
        if answer is not Answer.UNCLEAR:
            self.world.forget_copies(self)
        for intent in self.attempt.heard(answer, self.world.now):
            self.world.promises.acknowledged[self.first + intent.row] += 1

    def ask(self, wanted: Control) -> None:
        self.told = wanted
        if wanted.cancelled:
            self.attempt.cancel()
        elif wanted.paused:
            self.attempt.stop("the batch is paused")
        self.attempt.heed(wanted.brake)

    def write_marker(self) -> None:
        self.world.markers[self.range].append(self.name)
        self.marked = True

    def list_markers(self) -> None:
        world, ledger = self.world, self.attempt.ledger
        before = ledger.marked()
        self.attempt.listed(world.markers[self.range], world.files[self.range].values())
        world.promises.takes_as_in_doubt(self, ledger.marked() - before)

    def take(self, lane: Lane) -> None:
        lane.intent, lane.ready, lane.verdict = self.attempt.name(), False, None

    def conclude(self, lane: Lane, verdict: Verdict) -> None:
        assert lane.intent is not None
        self.attempt.concluded(lane.intent, verdict)
        lane.intent = None

    def send_body(self, intent: Intent, lane: Lane) -> None:
        if self.attempt.may_send_body(intent, self.world.now):
            self.world.wire.append(Body(intent, lane))
            self.world.promises.sends(self, intent)

    def file_name(self, record: LedgerRecord) -> str:
        return sha256(record.model_dump_json().encode()).hexdigest()

    def write_file(self) -> None:
        self.filed = True
        if any(outcome is not Outcome.DEFERRED for outcome in self.attempt.ledger.counts()):
            record = self.attempt.ledger.outcomes()
            self.world.promises.writes(self, record)
            name = self.file_name(record)
            self.file = f"{self.range}/{name}"
            self.world.files[self.range][name] = record

    def list_again(self) -> None:
        self.listed_again = True
        if self.attempt.strangers(self.world.markers[self.range]):
            self.attempt.die()

    def end(self, kind: str) -> None:
        if self.attempt.has_lease(self.world.now):
            self.say(kind)
            self.over = True

    def say(self, kind: str) -> None:
        """A failure or a result."""
        ledger = self.attempt.ledger
        result = self.result(ledger) if kind == "result" else None
        self.world.net.append(Message(kind, self, ledger.record(), bytes(ledger.states), result))

    def result(self, ledger: Ledger) -> PartResult:
        """What the workflow is told."""
        rest, counts = ledger.rest(), ledger.counts()
        deferred = counts.pop(Outcome.DEFERRED, 0)
        return PartResult(
            file=self.file,
            counts=counts,
            resent=ledger.resent,
            pending=ledger.count(PENDING, PENDING_MARKED),
            deferred=deferred,
            rest=rest.record() if rest else None,
            ended_because=self.attempt.why_stopping,
        )

"""One attempt in the simulation: the real Attempt and Ledger, driven as the activity drives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from batchmail.batch.attempt import Answer, Intent, Phase
from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.outcomes import Cause, Follows, Stage, Verdict

if TYPE_CHECKING:
    from tests.pure.simulation import World

LEASE = 10.0

REFUSED = Verdict(Follows.REJECTED, Cause(Stage.RCPT, 550, "5.1.1"))
GREYLISTED = Verdict(Follows.DEFERRED, Cause(Stage.RCPT, 450, "4.7.1"))
AT_FAULT = Verdict(Follows.RELAY_FAULT, Cause(Stage.MAIL, 530, "5.7.0"))
LOST_BEFORE = Verdict(Follows.PENDING, Cause(Stage.DATA))
LOST_AFTER = Verdict(Follows.IN_DOUBT, Cause(Stage.DOT))
TAKEN = Verdict(Follows.SENT, Cause(Stage.DOT, 250))

Action = tuple[float, str, Callable[[], object]]
"""Weight among what is possible now, what happens, and how."""


class Token(NamedTuple):
    """Which attempt speaks: after an activity reset numbers repeat."""

    run: int = 1
    part: int = 1
    number: int = 1


@dataclass(eq=False)
class Message:
    """Something a worker says to the server. A result names a file and hands back the rest."""

    kind: str
    sender: Worker
    ledger: LedgerRecord
    file: str = ""
    rest: LedgerRecord | None = None


@dataclass(eq=False)
class Lane:
    """One connection: the intent it carries, whether the relay wants the body, its last word."""

    intent: Intent | None = None
    ready: bool = False
    verdict: Verdict | None = None


class Worker:
    """A process with one attempt; `actions` are what it may do next."""

    def __init__(self, world: World, ledger: Ledger, last_try: bool) -> None:
        self.world, self.token, self.name = world, world.token, f"a{len(world.workers)}"
        self.attempt = world.attempt_class(
            ledger, self.name, in_doubt=world.setting.in_doubt, lease=LEASE, last_try=last_try
        )
        self.lanes = [Lane() for _ in range(world.setting.connections)]
        self.beat: Message | None = None
        self.answer: Answer | None = None
        self.frozen = self.over = self.marked = self.listed_again = False
        self.file = ""

    @property
    def alive(self) -> bool:
        return not self.over and self.attempt.phase is not Phase.DEAD

    def actions(self) -> Iterator[Action]:
        attempt, world = self.attempt, self.world
        if attempt.is_drained:
            attempt.stop("nobody is left")
            attempt.settle_the_rest()
        if self.beat is None:
            due = attempt.has_news or attempt.lease_left(world.now) < LEASE / 2
            if due and attempt.phase is not Phase.FAILING:
                yield 1, "heartbeats", self.send_heartbeat
        elif self.answer is not None:
            yield 2, f"hears {self.answer.name}", partial(self.hear, self.answer)
        elif self.beat not in world.net:
            yield 1, "hears nothing", partial(self.hear, Answer.UNCLEAR)
        if self.beat is not None:
            yield from world.mishap("unclear", "waits no longer", partial(self.hear, Answer.UNCLEAR))
        if attempt.phase is Phase.MARKING and not self.marked:
            yield 1, "writes its marker", self.write_marker
        elif attempt.phase is Phase.MARKING:
            yield 1, "lists the markers", self.list_markers
        if not self.file and attempt.phase not in (Phase.STOPPING, Phase.FAILING):
            if world.cancelled:
                yield 0.5, "is told of the cancel", attempt.cancel
            elif world.stop:
                yield 0.5, "is told to stop", partial(attempt.stop, "the batch told it to")
        for lane in self.lanes:
            yield from self.lane_actions(lane)
        if attempt.is_drained and attempt.phase is Phase.FAILING:
            yield 1, "fails with its ledger", partial(self.end, "failure")
        elif attempt.is_drained and attempt.is_acknowledged:
            if not self.file:
                yield 1, "writes its outcome file", self.write_file
            elif not self.listed_again:
                yield 1, "lists the markers again", self.list_again
            else:
                yield 1, "sends its result", partial(self.end, "result")

    def lane_actions(self, lane: Lane) -> Iterator[Action]:
        intent, world = lane.intent, self.world
        if intent is None or not intent.open:
            if self.attempt.has_pending:
                yield 2, "names", partial(self.take, lane)
            return
        who, conclude = f"r{intent.row}", partial(self.conclude, lane)
        if lane.verdict is not None:
            yield 1, f"hears {lane.verdict.follows} of {who}", partial(conclude, lane.verdict)
        elif not lane.ready:
            yield 1, f"hears 354 for {who}", partial(setattr, lane, "ready", True)
            for verdict in (REFUSED, GREYLISTED, AT_FAULT):
                yield 0.07, f"hears {verdict.follows} for {who}", partial(conclude, verdict)
        elif intent.acknowledged and not intent.body_out:
            yield 1, f"sends the body of {who}", partial(self.send_body, intent, lane)
        lost = LOST_AFTER if intent.body_out else LOST_BEFORE
        yield from world.mishap("drop", f"loses the connection of {who}", partial(conclude, lost))
        yield from world.mishap("close", f"closes on {who}", partial(self.attempt.closed, intent))

    def send_heartbeat(self) -> None:
        record = self.attempt.heartbeat(self.world.now)
        if record is not None:
            self.beat = Message("heartbeat", self, record)
            self.world.net.append(self.beat)

    def hear(self, answer: Answer) -> None:
        self.beat = self.answer = None
        for intent in self.attempt.heard(answer, self.world.now):
            self.world.acknowledged[intent.row] += 1

    def write_marker(self) -> None:
        self.world.markers.append(self.name)
        self.marked = True

    def list_markers(self) -> None:
        world, ledger = self.world, self.attempt.ledger
        before = sum(map(ledger.is_marked, range(len(ledger))))
        self.attempt.listed(world.markers, world.files.values())
        new = sum(map(ledger.is_marked, range(len(ledger)))) - before
        if world.undisturbed and world.is_current(self) and new > world.setting.connections:
            world.broken("P4", f"{self.name} takes {new} more as in doubt")

    def take(self, lane: Lane) -> None:
        lane.intent, lane.ready, lane.verdict = self.attempt.name(), False, None

    def conclude(self, lane: Lane, verdict: Verdict) -> None:
        assert lane.intent is not None
        self.attempt.concluded(lane.intent, verdict)
        lane.intent = None

    def send_body(self, intent: Intent, lane: Lane) -> None:
        world = self.world
        if self.attempt.may_send_body(intent, world.now):
            world.wire.append((intent, lane))
            if not world.setting.activity_resets and world.has_successor(self):
                world.broken("P0", f"{self.name} sends r{intent.row} beside its successor")

    def write_file(self) -> None:
        record = self.attempt.ledger.outcomes()
        self.file = sha256(record.model_dump_json().encode()).hexdigest()
        mine = {one.row: one for one in Ledger.read(record).settled()}
        for other in map(Ledger.read, self.world.files.values() if self.world.undisturbed else ()):
            if any(mine.get(one.row, one) != one for one in other.settled()):
                self.world.broken("P5", f"the file of {self.name} contradicts another")
        self.world.files[self.file] = record

    def list_again(self) -> None:
        self.listed_again = True
        if self.attempt.strangers(self.world.markers):
            self.attempt.die()

    def end(self, kind: str) -> None:
        ledger = self.attempt.ledger
        if self.attempt.has_lease(self.world.now):
            rest = ledger.rest()
            left = rest.record() if rest else None
            self.world.net.append(Message(kind, self, ledger.record(), self.file, left))
            self.over = True

"""A slice's whole life in virtual time: the real Attempt and Ledger among parts that misbehave.

A server that commits, times out and refuses; a network that loses and delays; a relay that records a body any
time after it left; a store; workers that crash, freeze and thaw; operators who reset. Every choice comes from
one seed: `python -m tests.pure.simulation SEED` tells that life again. What is checked ("*": only in lives
without resets):

    P0* an attempt that has a successor begins nothing
    P1  everyone is settled in the report, and who is reported sent was accepted
    P2  accepted more often than reported: the report has the mark
    P3  under hold nobody is accepted twice; unknown* only who was named in a committed ledger
    P4* a superseded attempt leaves at most one newly in doubt a connection
    P5* outcome files never contradict each other
    P6  the slice comes to its end
    P7  nobody is accepted more often than intents for him were acknowledged
    P8* resends named in the report are not fewer than the relay's repeats
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any, NamedTuple, NoReturn

from batchmail.batch.attempt import Answer, Attempt, Intent
from batchmail.batch.ledger import NAMED, NAMED_MARKED, PENDING, PENDING_MARKED, Ledger, LedgerRecord, Settled
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import Outcome
from tests.pure.simulated_worker import (
    GREYLISTED,
    LEASE,
    REFUSED,
    TAKEN,
    Action,
    Lane,
    Message,
    Token,
    Worker,
)

TRIES = 2
MOST_STEPS = 5_000


class Violation(AssertionError):
    """A promise was broken: by `rule`; the text tells the whole life."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


class Setting(NamedTuple):
    """How large the slice is, and how much may go wrong."""

    rows: int
    connections: int
    in_doubt: InDoubt
    faults: int
    stops: int
    cancels: int
    activity_resets: int
    workflow_resets: int

    @classmethod
    def drawn(cls, random: Random) -> Setting:
        up_to, resets = partial(random.randint, 0), random.random() < 0.5
        return cls(
            rows=random.randint(1, 4),
            connections=random.randint(1, 2),
            in_doubt=random.choice(list(InDoubt)),
            faults=up_to(8),
            stops=up_to(1),
            cancels=random.random() < 0.15,
            activity_resets=resets * up_to(2),
            workflow_resets=resets * up_to(1),
        )


class World:
    """The server with its workflow, the network, the store and the relay, around the workers."""

    # The run and part under way, as `begin_run` and `end_part` leave them.
    token: Token
    details: LedgerRecord | None
    base: LedgerRecord | None
    running: bool
    forgets: bool
    due: bool
    stop: bool
    cancelled: bool
    tries: int
    named: list[str]

    def __init__(
        self,
        seed: int,
        attempt_class: type[Attempt] = Attempt,
        worker_class: type[Worker] = Worker,
        fixed: Mapping[str, Any] = {},
    ) -> None:
        self.seed, self.attempt_class, self.worker_class = seed, attempt_class, worker_class
        self.random = Random(seed)
        self.setting = Setting.drawn(self.random)._replace(**fixed)
        self.left: dict[str, int] = self.setting._asdict()
        # In one life mostly this goes wrong, in another that: rare pairs meet sooner than with equal odds.
        self.odds = defaultdict[str, float](lambda: self.random.choice((0.01, 0.03, 0.1, 0.5)))
        self.story: list[str] = []
        self.workers: list[Worker] = []
        self.net: list[Message] = []
        self.wire: list[tuple[Intent, Lane]] = []
        self.markers: list[str] = []
        self.files: dict[str, LedgerRecord] = {}
        self.accepted = [0] * self.setting.rows
        self.acknowledged = [0] * self.setting.rows
        self.committed: set[int] = set()
        self.report: dict[int, Settled] | None = None
        self.now = self.deadline = 0.0
        self.begin_run(1)

    def run(self) -> None:
        """One whole life; raises Violation."""
        while actions := list(self.actions()):
            (_, what, do), *_ = self.random.choices(actions, [weight for weight, _, _ in actions])
            self.now += self.random.choice((0.0, 0.01, 0.1, 0.5))
            self.story.append(f"{self.now:8.2f}  {what}")
            do()
            if len(self.story) > MOST_STEPS:
                break
        if self.report is None:
            self.broken("P6", "the slice never ends")
        self.check(self.report)

    def actions(self) -> Iterator[Action]:
        for worker in self.workers:
            name = worker.name
            if worker.alive and worker.frozen:
                yield 0.05, f"{name} thaws", partial(setattr, worker, "frozen", False)
            elif worker.alive:
                for weight, what, do in worker.actions():
                    yield weight, f"{name} {what}", do
                yield from self.mishap("kill", f"{name} is killed", partial(setattr, worker, "over", True))
                yield from self.mishap("freeze", f"{name} freezes", partial(setattr, worker, "frozen", True))
        for body in self.wire:
            yield 0.5, f"relay records r{body[0].row}", partial(self.record, *body)
        for message in self.net:
            late = message.kind == "heartbeat" and message.sender.beat is not message
            what = f"{message.sender.name}'s {message.kind}"
            yield 0.2 if late else 1, f"server gets {what}", partial(self.receive, message)
            yield from self.mishap("loss", f"{what} is lost", partial(self.net.remove, message))
        if self.report is None:
            yield from self.server_actions()

    def server_actions(self) -> Iterator[Action]:
        if not self.running:
            yield 1, "server starts an attempt", self.start
        elif self.now >= self.deadline:
            yield 2, "server times the attempt out", partial(self.try_again, self.details)
        elif not self.may_hear():
            yield 0.3, "time passes", self.let_time_pass
        else:
            yield from self.mishap("hang", "everything hangs", self.let_time_pass)
        if self.workers:
            for budget, do in (
                ("stops", partial(setattr, self, "stop", True)),
                ("cancels", partial(setattr, self, "cancelled", True)),
                ("activity_resets", self.reset_activity),
                ("workflow_resets", lambda: self.begin_run(self.token.run + 1)),
            ):
                yield from self.mishap("operator", f"operator: {budget}", do, budget)

    def mishap(
        self, kind: str, what: str, do: Callable[[], object], budget: str = "faults"
    ) -> Iterator[Action]:
        """What may go wrong as long as its budget lasts."""

        def spend() -> None:
            self.left[budget] -= 1
            do()

        if self.left[budget]:
            yield self.odds[kind], what, spend

    def let_time_pass(self) -> None:
        self.now = max(self.now, self.deadline) + self.random.choice((0.0, LEASE / 2))

    # The server

    def is_current(self, worker: Worker) -> bool:
        return self.report is None and self.running and worker.token == self.token

    def has_successor(self, worker: Worker) -> bool:
        later = self.workers[self.workers.index(worker) + 1 :]
        return any(other.token.run == worker.token.run for other in later)

    def may_hear(self) -> bool:
        """Whether the attempt that is wanted may yet be heard of."""
        said = any(self.is_current(message.sender) for message in self.net)
        return said or any(self.is_current(one) and one.alive and not one.frozen for one in self.workers)

    def start(self) -> None:
        found = self.details or self.base
        ledger = Ledger.read(found) if found else Ledger.of_rows(1, self.setting.rows)
        if self.due and not self.details:
            ledger.retry()
        self.workers.append(self.worker_class(self, ledger, last_try=self.tries >= TRIES))
        self.running, self.deadline = True, self.now + LEASE
        self.story.append(f"{'':10}{self.workers[-1].name} {self.token} finds {bytes(ledger.states)!r}")

    def try_again(self, details: LedgerRecord | None) -> None:
        self.details = None if self.forgets else details
        self.running = self.forgets = False
        self.token = self.token._replace(number=self.token.number + 1)

    def receive(self, message: Message) -> None:
        self.net.remove(message)
        answer = Answer.GONE
        if self.is_current(message.sender):
            ledger = Ledger.read(message.ledger)
            self.committed.update(ledger.rows(NAMED, NAMED_MARKED))
            self.story.append(f"{'':10}committed: {bytes(ledger.states)!r}")
            if message.kind == "result":
                self.end_part(message)
            elif message.kind == "failure":
                self.try_again(message.ledger)
            else:
                self.details, self.deadline = message.ledger, self.now + LEASE
                ends = 0.02 if self.left["faults"] else 0.0
                answers = (Answer.YES, Answer.YES_END, Answer.YES_STOP)
                answer = self.random.choices(answers, (1, ends, ends))[0]
        if message.sender.beat is message:
            message.sender.answer = answer

    def reset_activity(self) -> None:
        """`temporal activity reset`, half the time with --reset-heartbeats."""
        self.token = self.token._replace(number=1)
        if self.random.random() < 0.5:
            self.forgets = self.running
            self.details = self.details if self.running else None

    # The workflow

    def begin_run(self, run: int) -> None:
        """The batch starts, or an operator resets the workflow: a new run knows nothing of the last one."""
        self.token = Token(run)
        self.details = self.base = None
        self.running = self.forgets = self.due = self.stop = self.cancelled = False
        self.tries = 0
        self.named = []

    def end_part(self, message: Message) -> None:
        self.named.append(message.file)
        self.details, self.base = None, message.rest
        self.running = self.stop = self.forgets = False
        if message.rest is None:
            self.report = {}
            for one in (one for name in self.named for one in Ledger.read(self.files[name]).settled()):
                known = self.report.get(one.row)
                self.report[one.row] = one if known is None or one.in_doubt else known
        else:
            self.due = not Ledger.read(message.rest).count(PENDING, PENDING_MARKED)
            self.tries += self.due
            self.token = Token(self.token.run, self.token.part + 1)

    # The relay

    def record(self, intent: Intent, lane: Lane) -> None:
        self.wire.remove((intent, lane))
        verdict = self.random.choices((TAKEN, REFUSED, GREYLISTED), (0.8, 0.1, 0.1))[0]
        if lane.intent is intent:
            lane.verdict = verdict
        if verdict is TAKEN:
            row = intent.row
            self.accepted[row] += 1
            if self.accepted[row] > 1 and self.setting.in_doubt is InDoubt.HOLD:
                self.broken("P3", f"r{row} was accepted twice under hold")
            if self.accepted[row] > self.acknowledged[row]:
                self.broken("P7", f"r{row} was accepted without an acknowledged intent")

    # The promises

    @property
    def undisturbed(self) -> bool:
        """Whether no operator ever resets anything."""
        return not (self.setting.activity_resets or self.setting.workflow_resets)

    def check(self, report: dict[int, Settled]) -> None:
        for row, accepted in enumerate(self.accepted):
            if row not in report:
                self.broken("P1", f"r{row} is not settled")
            _, outcome, _, in_doubt = report[row]
            if outcome is Outcome.SENT and not accepted:
                self.broken("P1", f"r{row} is reported sent and was never accepted")
            if accepted > (outcome is Outcome.SENT) and not in_doubt:
                self.broken("P2", f"r{row}, {outcome} without mark, was accepted {accepted} times")
            if self.undisturbed and outcome is Outcome.UNKNOWN and row not in self.committed:
                self.broken("P3", f"r{row} is unknown and was never named")
        repeats = sum(accepted - 1 for accepted in self.accepted if accepted)
        resent = sum(self.files[name].resent for name in self.named)
        if self.undisturbed and repeats > max(resent, sum(one.in_doubt for one in report.values())):
            self.broken("P8", f"{repeats} repeats, {resent} resends named")

    def broken(self, rule: str, what: str) -> NoReturn:
        story = "\n".join(self.story)
        raise Violation(rule, f"{rule}: {what}\nseed {self.seed}, {self.setting}\n{story}")


if __name__ == "__main__":
    for seed in map(int, sys.argv[1:]):
        world = World(seed)
        world.run()
        print("\n".join(world.story), f"report {world.report}", f"accepted {world.accepted}", sep="\n")

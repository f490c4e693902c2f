"""A batch's whole life in virtual time: the product's own attempts and fan-out among parts that misbehave.

A server that commits, times out and refuses; a network that loses, delays and doubles; a relay that records a
body any time after it left; a store; a workflow that hears of things later; workers that crash, freeze and
thaw; operators who pause, reset and cancel. Every choice comes from one `Choices`, so that a life can be told
again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from batchmail.batch.attempt import Answer, Attempt
from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.outcomes import Verdict
from tests.simulation.choices import PAUSES, Action, Choices, label, mishap
from tests.simulation.promises import Promises, broken
from tests.simulation.run import Event, Run, Turn
from tests.simulation.server import LEASE, Activity, Message
from tests.simulation.setting import Setting
from tests.simulation.worker import LOST_AFTER, LOST_BEFORE, OTHER_VERDICTS, TAKEN, Body, Worker

Add = Callable[..., None]
"""World.mishap, with the list it adds to."""

MOST_STEPS = 5_000


class World:
    """The parts around the workers.

    `odds` draws how likely a kind of step is beside the others, `ills` the same of mishaps. `tells`: keep the
    story. `plant`: stands in for the class that it is made from. `left`: what of the budgets is left.
    `to_hear`: what the workflow has not been told yet. `era`: workflow resets so far.
    """

    def __init__(
        self,
        setting: Setting,
        choices: Choices,
        *,
        odds: Callable[[], float] = lambda: 1.0,
        ills: Callable[[], float] = lambda: 1.0,
        tells: bool = False,
        plant: type[Attempt] | type[Worker] | type[Run] | None = None,
    ) -> None:
        self.setting, self.choices = setting, choices
        self.attempt_class = plant if plant and issubclass(plant, Attempt) else Attempt
        self._worker_class = plant if plant and issubclass(plant, Worker) else Worker
        self._run_class = plant if plant and issubclass(plant, Run) else Run
        self.left: dict[str, int] = setting._asdict()
        # In one life mostly this is slow or goes wrong, in another that: rare pairs meet sooner so.
        self.odds = defaultdict[str, float](odds)
        self.ills = defaultdict[str, float](ills)
        self.happened = Counter[str]()
        self.taken: list[int] = []
        self.tells = tells
        self.story: list[str] = []
        self.promises = Promises(setting)
        self.now = 0.0
        self.begun = self.era = 0
        self.workers: list[Worker] = []
        self.net: list[Message] = []
        self.wire: list[Body] = []
        self.markers = defaultdict[str, list[str]](list)
        self.files = defaultdict[str, dict[str, LedgerRecord]](dict)
        self.begin_run([])

    def live(self) -> None:
        """One whole life. Raises Violation."""
        while calm := self.calm():
            choice = self.choices.pick(calm, self.rare)
            self.taken.append(choice)
            self.step(calm, choice)
            if len(self.taken) > MOST_STEPS:
                break
        if not self.run.has_ended:
            broken("P6", "the batch never ends")
        self.promises.ends(self.run, self.files)

    def step(self, calm: Sequence[Action], choice: int) -> None:
        """Do what was chosen."""
        if choice >= 0:
            place, pause = divmod(choice, len(PAUSES))
            self.now += PAUSES[pause] * self.setting.pace
            action = calm[place]
        else:
            action = self.rare()[mishap(choice)]
        if self.tells:
            self.note(label(action))
        action[3](*action[4])

    def note(self, what: str) -> None:
        """A line of the story."""
        if self.tells:
            self.story.append(f"{self.now:8.2f}  {what}")

    # What is usual

    def calm(self) -> list[Action]:
        """What may happen now where nothing goes wrong: whoever always takes the first comes to the end.

        Empty when the batch has ended and nothing of it is on its way any more, or when it is stuck.
        """
        odds = self.odds
        calm: list[Action] = [
            (odds["relay takes"], body, "is taken", self.record, (body, TAKEN)) for body in self.wire
        ]
        for message in self.net:
            weight = odds["late"] if message.is_late else odds[message.kind]
            calm.append((weight, message, "reaches the server", self.receive, (message, Answer.YES)))
        under_way = not self.run.has_ended
        if under_way:
            self._server(calm)
        self.workers = [worker for worker in self.workers if worker.alive]
        for worker in self.workers:
            if not worker.frozen:
                worker.usual(calm)
        if under_way:
            self._operator(calm)
            if not calm:
                self._time(calm, stuck=True)
        for worker in self.workers:
            if worker.frozen:
                calm.append((self.odds["thaw"], worker, "thaws", setattr, (worker, "frozen", False)))
        return calm

    def _server(self, calm: list[Action]) -> None:
        timer = self.run.timer
        if self.to_hear or (timer is not None and timer <= self.now):
            calm.append((self.odds["hears"], "the workflow", "hears of it", self.hear, ()))
        for activity in self.activities:
            if not activity.running:
                if not activity.paused:
                    calm.append((self.odds["starts"], activity, "is started", self.start, (activity,)))
            elif self.now >= activity.deadline:
                calm.append((1, activity, "times out", activity.try_again, (activity.details,)))

    def _operator(self, calm: list[Action]) -> None:
        if self.paused:
            calm.append((0.2, "an operator", "resumes the batch", self.order, ("resume",)))
        for activity in self.activities:
            if activity.paused:
                calm.append((0.2, activity, "is unpaused", setattr, (activity, "paused", False)))

    def _time(self, actions: list[Action], *, stuck: bool) -> None:
        """Time passes until somebody has not been heard of, or has to heartbeat, or a delay is over.

        `stuck`: whoever should heartbeat by now does not; then until he is given up.
        """
        moments = [activity.deadline for activity in self.activities if activity.running]
        moments += [activity.deadline - LEASE / 2 + 0.01 for activity in self._heard]
        if self.run.timer is not None:
            moments.append(self.run.timer)
        if stuck:
            moments = [moment for moment in moments if moment > self.now]
        if moments and (until := min(moments)) > self.now:
            actions.append((0.3, "time", "passes", self.wait, (until,)))

    @property
    def _heard(self) -> set[Activity]:
        """Those whose present attempts are well, or have said something that is on its way."""
        heard = {one.activity for one in self.workers if one.is_current and not one.frozen and one.alive}
        return heard | {message.sender.activity for message in self.net if message.sender.is_current}

    # What goes wrong

    def rare(self) -> list[Action]:
        """What may go wrong now, as far as the budgets last; and time passing while others are at work."""
        rare: list[Action] = []
        add = partial(self.mishap, rare)
        for body in self.wire:
            for what, verdict in OTHER_VERDICTS.items():
                add(f"relay {what}", body, what, self.record, body, verdict, budget="refusals")
        if self.left["faults"]:
            self._relay_fails(add)
            self._network_fails(add)
            for worker in self.workers:
                add("kill", worker, "is killed", setattr, worker, "over", True)
                if not worker.frozen:
                    add("freeze", worker, "freezes", setattr, worker, "frozen", True)
            if len(self.workers) > 1:
                add("kill all", "every worker", "is killed", self.kill_all)
        for worker in self.workers:
            if not worker.frozen:
                worker.mishaps(add)
        if not self.run.has_ended:
            add("eviction", "the workflow", "is replayed", self.replay, budget="evictions")
            if self.left["faults"]:
                self._server_fails(add)
            self._time(rare, stuck=False)
            self._operator_strikes(add)
        return rare

    def _relay_fails(self, add: Add) -> None:
        for body in self.wire:
            add("body lost", body, "is lost on its way", self.lose_body, body)
        if any(lane.intent is not None for worker in self.workers for lane in worker.lanes):
            add("relay restart", "the relay", "starts again", self.restart_relay)

    def _network_fails(self, add: Add) -> None:
        reaches = "reaches the server"
        for message in self.net:
            add("loss", message, "is lost", self.lose, message)
            if not message.copy:
                add("double", message, f"{reaches}, and again later", self.double, message)
            if message.kind == "heartbeat" and not message.is_late:
                add("answer lost", message, f"{reaches}, but not the answer", self.receive, message, None)
                for answer in (Answer.YES_END, Answer.YES_STOP):
                    what = f"{reaches}, which says {answer.name}"
                    add(f"answer {answer.name}", message, what, self.receive, message, answer)
        if self.net or any(worker.answer is not None for worker in self.workers):
            add("server restart", "the server", "starts again", self.restart_server)

    def _server_fails(self, add: Add) -> None:
        for activity in self.activities:
            if not activity.running and not activity.paused:
                add("task lost", activity, "is started, its task is lost", activity.begin, self.now)
        if deadlines := [activity.deadline for activity in self._heard]:
            until = min(deadlines)
            add("hang", "everything", "hangs", self.wait, until)
            add("hang", "everything", "hangs for long", self.wait, until + LEASE / 2)

    def _operator_strikes(self, add: Add) -> None:
        if not self.begun:
            return
        who, flow = "an operator", "the workflow"
        if not self.paused:
            add("pause", who, "pauses the batch", self.order, "pause", budget="pauses")
        add("cancel", who, "cancels the batch", self.order, "cancel", budget="cancels")
        add("continue as new", flow, "has a long history", self.order, "drop", budget="continues")
        for activity in self.activities:
            if not activity.paused:
                pause = partial(setattr, activity, "paused", True)
                add("activity pause", activity, "is paused", pause, budget="activity_pauses")
            for kind, what, heartbeats in (
                ("activity reset", "is reset", False),
                ("activity reset, heartbeats too", "is reset, and its heartbeats", True),
            ):
                add(kind, activity, what, activity.reset, heartbeats, budget="activity_resets")
        if self.left["workflow_resets"]:
            turns = self.run.history
            for kept in sorted({0, len(turns) // 2, len(turns) - 1}):
                kind = "workflow reset to a later point" if kept else "workflow reset to the start"
                what = f"is reset to its task {kept + 1}"
                add(kind, flow, what, self.reset_workflow, kept, budget="workflow_resets")

    def mishap(
        self,
        rare: list[Action],
        kind: str,
        who: object,
        what: str,
        do: Callable[..., object],
        *args: Any,
        budget: str = "faults",
    ) -> None:
        """Adds one to what may go wrong, if the budget lasts."""
        if self.left[budget]:
            rare.append((self.ills[kind], who, what, self._spend, (budget, kind, do, args)))

    def _spend(self, budget: str, kind: str, do: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.left[budget] -= 1
        self.happened[kind] += 1
        do(*args)

    # Time and workers

    def wait(self, until: float) -> None:
        self.now = max(self.now, until)

    def kill_all(self) -> None:
        for worker in self.workers:
            worker.over = True

    # The server

    def start(self, activity: Activity) -> None:
        worker = self._worker_class(self, activity, self.begun)
        self.begun += 1
        self.workers.append(worker)
        self.promises.begins(worker)
        activity.begin(self.now)
        if self.tells:
            found = bytes(worker.attempt.ledger.states)
            self.note(f"    {worker} is number {worker.number} of {activity}, finds {found!r}")

    def receive(self, message: Message, answer: Answer | None) -> None:
        """The server takes a message, and answers a heartbeat (None: the answer is lost)."""
        self.lose(message)
        sender, activity = message.sender, message.sender.activity
        if not sender.is_current:
            answer = answer and Answer.GONE
        else:
            if self.tells:
                self.note(f"    committed: {message.states!r}")
            self.promises.commits(sender, message.states)
            if message.result is not None:
                self.activities.remove(activity)
                self.to_hear.append(Event("ended", activity.place, message.result))
            elif message.kind == "failure":
                activity.try_again(message.ledger)
            else:
                activity.details, activity.deadline = message.ledger, self.now + LEASE
                if activity.paused:
                    answer = answer and Answer.YES_END
        if sender.beat is message:
            sender.answer = answer

    def lose(self, message: Message) -> None:
        self.net.remove(message)
        message.gone = True

    def double(self, message: Message) -> None:
        """It arrives, and once more later: but a heartbeat never after its answer, since no party says it
        again and TCP hands nothing over twice."""
        self.net.append(message.again())
        self.receive(message, Answer.YES)

    def forget_copies(self, sender: Worker) -> None:
        """The answer to this attempt's heartbeat has been heard."""
        self.net = [one for one in self.net if not (one.copy and one.sender is sender and one.result is None)]

    def restart_server(self) -> None:
        """What is on its way is lost, answers too; what was committed stands."""
        for message in tuple(self.net):
            self.lose(message)
        for worker in self.workers:
            worker.answer = None

    # The workflow

    def begin_run(self, history: Sequence[Turn], carried: str | None = None) -> None:
        """A run begins: with the start of an earlier one's history where an operator has reset that; with
        what an earlier one carried over where that has continued as new."""
        self.activities: list[Activity] = []
        self.to_hear: list[Event] = []
        self.run = self._run_class(self.setting, history, carried)
        self._scheduled = 0
        if history:
            self._schedule()
        else:
            self.hear()
        self.paused = self.run.slices.paused

    def hear(self) -> None:
        """The workflow is told what has happened, and schedules what is to be done or continues as new."""
        events, self.to_hear = self.to_hear, []
        self.run.take(Turn(self.now, tuple(events)))
        if self.run.carries is not None:
            self.begin_run([], self.run.carries)
        else:
            self._schedule()

    def _schedule(self) -> None:
        parts = self.run.parts
        for place in range(self._scheduled, len(parts)):
            if self.run.is_open(place):
                self.activities.append(Activity(parts[place], place, self.era))
        self._scheduled = len(parts)

    def replay(self) -> None:
        """The run is lost from its worker's cache, and is told its history again."""
        before = self.run
        self.run = self._run_class(self.setting, before.history, before.carried)
        if self.run.parts != before.parts:
            broken("P10", "a replayed run schedules other parts")

    def order(self, what: str) -> None:
        """A signal."""
        if what in ("pause", "resume"):
            self.paused = what == "pause"
        self.to_hear.append(Event(what))

    def reset_workflow(self, kept: int) -> None:
        """`temporal workflow reset`: a new run knows of the first turns only."""
        self.era += 1
        self.begin_run(self.run.history[:kept], self.run.carried)

    # The relay

    def record(self, body: Body, verdict: Verdict) -> None:
        self.wire.remove(body)
        if body.lane.intent is body.intent:
            body.lane.verdict = verdict
        if verdict is TAKEN:
            self.promises.accepts(body.row)

    def lose_body(self, body: Body) -> None:
        self.wire.remove(body)
        if body.lane.intent is body.intent:
            body.lane.verdict = LOST_AFTER

    def restart_relay(self) -> None:
        """Every connection is lost, and what was on its way to it."""
        self.wire.clear()
        for worker in self.workers:
            for lane in worker.lanes:
                if lane.intent is not None and lane.intent.open:
                    worker.conclude(lane, LOST_AFTER if lane.intent.body_out else LOST_BEFORE)

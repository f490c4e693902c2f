"""The scenarios. In each but one, a bare loop and ours mail through the same smtp-sink, in turn.

Whatever is measured, everybody must have been accepted exactly once: by what each says itself, and by the
sink's count. Where workers are killed, nobody may be lost, or mailed twice and not named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from batchmail.batch.options import BatchOptions
from benchmarks.bare import BareRun, bare
from benchmarks.command import command
from benchmarks.engines import embedded, production
from benchmarks.figures import Measured, Wait, Waited, Way, spread
from benchmarks.mailing import Mailing, mailing
from benchmarks.ours import OurRun, Place, place
from benchmarks.processes import BenchmarkError, cpu_seconds
from benchmarks.relays import Sink, sink, slow_line
from benchmarks.takeover import Takeover, takeover

FEW = 20
"""Recipients of the batch that costs what every batch costs."""

EACH_WAY = 10
"""Milliseconds each way on the slow line."""

SERVERS = {"SQLite": embedded, "Postgres": production}

AFTER_TIME_OUT = 2
"""Seconds from a dead worker's heartbeat time-out until all of its slices are to go on."""


class Size(NamedTuple):
    """How much is measured."""

    recipients: int
    connections: int
    rounds: int
    settings: dict[str, str]
    """The worker's, beyond those that a scenario needs."""


class Reference:
    """The bare loop, through a sink that counts every mailing. `port` leads to the sink, near or slowly."""

    def __init__(self, folder: Path, sink: Sink, port: int, mails: Mailing, size: Size) -> None:
        self._folder, self._sink, self._port, self._mails, self._size = folder, sink, port, mails, size
        self.runs: list[BareRun] = []
        self.sink_cpu: list[float] = []

    @property
    def way(self) -> Way:
        """Its seconds."""
        return Way("bare loop", [run.seconds for run in self.runs])

    def mail(self) -> None:
        """Run it once more."""
        size = self._size
        with self.counting(size.recipients) as sink_cpu:
            self.runs.append(
                bare(
                    self._folder,
                    self._port,
                    recipients=size.recipients,
                    connections=size.connections,
                    octets=self._mails.octets,
                )
            )
        self.sink_cpu += sink_cpu

    @contextmanager
    def counting(self, recipients: int) -> Iterator[list[float]]:
        """Exactly so many mails arrive within; the list then has the sink's CPU seconds."""
        accepted, cpu = self._sink.accepted(), cpu_seconds(self._sink.pid)
        used: list[float] = []
        yield used
        used.append(cpu_seconds(self._sink.pid) - cpu)
        accepted = self._sink.accepted() - accepted
        if accepted != recipients:
            raise BenchmarkError(f"the sink has accepted {accepted:,} mails for {recipients:,} recipients")


def local(folder: Path, size: Size) -> Measured:
    """A batch through a relay on this machine."""
    mails = mailing(folder, size.recipients)
    with sink(folder) as relay, place(folder, relay.port, embedded, size.settings) as ours:
        reference = Reference(folder, relay, relay.port, mails, size)
        return _batches("A relay on this machine", reference, ours, mails, size, goal=1.8)


def postgres(folder: Path, size: Size) -> Measured:
    """A batch on the production server; its notes tell what it costs there."""
    mails = mailing(folder, size.recipients)
    with sink(folder) as relay, place(folder, relay.port, production, size.settings) as ours:
        reference = Reference(folder, relay, relay.port, mails, size)
        return _batches("Temporal on Postgres", reference, ours, mails, size, goal=1.8)


def distant(folder: Path, size: Size) -> Measured:
    """A batch through a relay one network away."""
    mails = mailing(folder, size.recipients)
    with (
        sink(folder) as relay,
        slow_line(folder, relay.port, EACH_WAY) as port,
        place(folder, port, embedded, size.settings) as ours,
    ):
        reference = Reference(folder, relay, port, mails, size)
        return _batches(f"A relay {2 * EACH_WAY} ms away", reference, ours, mails, size, goal=1.6)


def whole_command(folder: Path, size: Size) -> Measured:
    """starter.py --dev from nothing, list and report included, less one of 20 recipients."""
    mails, few = mailing(folder, size.recipients), mailing(folder, FEW)
    whole: list[float] = []
    least: list[float] = []
    with sink(folder) as relay:
        reference = Reference(folder, relay, relay.port, mails, size)

        def timed(batch: Mailing, name: str) -> float:
            with reference.counting(batch.recipients):
                return command(folder / name, relay.port, batch, size.connections)

        for number in range(size.rounds):
            _say(f"the whole command, round {number + 1} of {size.rounds}")
            reference.mail()
            least.append(timed(few, f"few-{number}"))
            whole.append(timed(mails, f"whole-{number}"))
    return Measured(
        title=_title("The whole command, a relay on this machine", mails, size),
        recipients=size.recipients,
        ways=(
            reference.way,
            Way(
                f"starter.py --dev, less one of {FEW} recipients",
                [seconds - base for seconds, base in zip(whole, least, strict=True)],
                goal=1.4,
            ),
            Way("starter.py --dev, from nothing to its end", whole),
        ),
        notes=(f"seconds: {median(whole):.2f}, of {FEW} recipients {median(least):.2f}",),
    )


def killed_worker(folder: Path, size: Size) -> Waited:
    """How long slices stand still whose worker is killed, on each server."""
    mails = mailing(folder, size.recipients)
    goal = BatchOptions().heartbeat_timeout.total_seconds() + AFTER_TIME_OUT
    waits: list[Wait] = []
    notes: list[str] = []
    for database, start in SERVERS.items():
        place = folder / database
        place.mkdir()
        kills: list[Takeover] = []
        with start(place) as engine:
            for number in range(size.rounds):
                _say(f"a worker killed, Temporal on {database}, {number + 1} of {size.rounds}")
                kills.append(
                    takeover(place / f"kill-{number}", engine, mails, size.connections, size.settings)
                )
        waits += (
            Wait(f"Temporal on {database}: the first of its slices goes on", [kill.first for kill in kills]),
            Wait(f"Temporal on {database}: all of them go on", [kill.last for kill in kills], goal),
        )
        given = spread([kill.given for kill in kills])
        in_doubt = spread([kill.in_doubt for kill in kills])
        notes += (
            f"Temporal on {database}: all slices were given to the other worker after {given.show('.1f')} s",
            f"Temporal on {database}: in doubt after a kill {in_doubt.show('.0f')}, "
            f"at most {max(kill.most for kill in kills)} may be",
        )
    notes.append(
        "going on: the relay accepts a recipient of the slice; a mail was under way on each connection"
    )
    return Waited(
        title=_title("A worker killed in mid batch", mails, size, "kill"),
        waits=tuple(waits),
        notes=tuple(notes),
    )


def _batches(
    what: str, reference: Reference, ours: Place, mails: Mailing, size: Size, *, goal: float
) -> Measured:
    runs: list[OurRun] = []
    sink_cpu: list[float] = []
    # A worker serves for long, and loads its code once.
    ours.mail(mailing(mails.list.parent, FEW), size.connections, "warm-up")
    for number in range(size.rounds):
        _say(f"{what.lower()}, round {number + 1} of {size.rounds}")
        reference.mail()
        with reference.counting(size.recipients) as used:
            runs.append(ours.mail(mails, size.connections, f"round-{number}"))
        sink_cpu += used
    return Measured(
        title=_title(what, mails, size),
        recipients=size.recipients,
        ways=(
            reference.way,
            Way("mailing: workflow's start to last recipient", [run.mailing for run in runs], goal=goal),
            Way("workflow: start to result, with report", [run.whole for run in runs]),
        ),
        notes=(
            *_notes(reference, runs, sink_cpu, size),
            *_costs(runs, size),
            f"worker's peak memory: {ours.peak_megabytes():,.0f} MB",
        ),
    )


def _notes(
    reference: Reference, runs: Sequence[OurRun], sink_cpu: Sequence[float], size: Size
) -> tuple[str, ...]:
    def middle(what: Callable[[OurRun], float]) -> float:
        return median(map(what, runs))

    def a_mail(seconds: float) -> str:
        return f"{seconds / size.recipients * 1e6:,.0f} µs"

    heartbeats = middle(lambda run: run.heartbeats)
    return (
        f"history: {middle(lambda run: run.events):,.0f} events, "
        f"{middle(lambda run: run.history_bytes):,.0f} bytes",
        f"heartbeats: {heartbeats:,.0f}, {middle(lambda run: run.heartbeats / run.mailing):,.0f} a second, "
        f"{size.recipients / max(heartbeats, 1):,.0f} recipients each",
        f"CPU a mail: worker {a_mail(middle(lambda run: run.worker_cpu))}, "
        f"server {a_mail(middle(lambda run: run.server_cpu))}, sink {a_mail(median(sink_cpu))}; "
        f"bare loop {a_mail(median(run.cpu for run in reference.runs))}, "
        f"its sink {a_mail(median(reference.sink_cpu))}",
        f"round trip to the relay: {1000 * median(run.round_trip for run in reference.runs):.2f} ms",
    )


def _costs(runs: Sequence[OurRun], size: Size) -> Iterator[str]:
    """What a million recipients cost, by the middle of the runs."""
    for what, values, least in (
        ("billable actions in Temporal Cloud", [run.actions for run in runs], 0),
        ("octets of the database's log (WAL)", [run.wal for run in runs], 0),
        # It grows by whole pages: a smaller run's few would be multiplied.
        ("octets by which the database grows", [run.growth for run in runs], 100_000),
    ):
        if any(values) and size.recipients >= least:
            yield f"a million recipients, by this run: {median(values) * 1e6 / size.recipients:,.0f} {what}"


def _title(what: str, mails: Mailing, size: Size, round_: str = "round") -> str:
    rounds = f"{size.rounds} {round_}{'s' if size.rounds > 1 else ''}"
    return (
        f"{what}: {mails.recipients:,} recipients, {mails.octets:,} octets each, "
        f"{size.connections} connections, {rounds}"
    )


def _say(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


SCENARIOS: dict[str, Callable[[Path, Size], Measured | Waited]] = {
    "local": local,
    "postgres": postgres,
    "command": whole_command,
    "distant": distant,
    "takeover": killed_worker,
}

"""The three scenarios. In each, ours and the bare loop mail through the same smtp-sink, in turn.

Whatever is measured, everybody must have been accepted exactly once: by the result and by the sink's count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.bare import BareRun, bare
from benchmarks.command import command
from benchmarks.figures import Measured, Way
from benchmarks.mailing import Mailing, mailing
from benchmarks.ours import OurRun, place
from benchmarks.processes import BenchmarkError, cpu_seconds
from benchmarks.relays import Sink, sink, slow_line

FEW = 20
"""Recipients of the batch that costs what every batch costs."""

EACH_WAY = 10
"""Milliseconds each way on the slow line."""


class Size(NamedTuple):
    """How much is measured."""

    recipients: int
    connections: int
    rounds: int


class Counted:
    """A sink whose count is checked after each mailing, and its CPU time."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.cpu: list[float] = []

    @contextmanager
    def takes(self, recipients: int) -> Iterator[None]:
        """Exactly so many mails arrive within."""
        before, cpu = self._sink.accepted(), cpu_seconds(self._sink.pid)
        yield
        self.cpu.append(cpu_seconds(self._sink.pid) - cpu)
        accepted = self._sink.accepted() - before
        if accepted != recipients:
            raise BenchmarkError(f"the sink has accepted {accepted:,} mails for {recipients:,} recipients")


def local(folder: Path, size: Size) -> Measured:
    """A batch through a relay on this machine."""
    with sink(folder) as relay:
        return _batches(folder, size, relay, relay.port, title="a relay on this machine", goal=1.8)


def distant(folder: Path, size: Size) -> Measured:
    """A batch through a relay one network away."""
    with sink(folder) as relay, slow_line(folder, relay.port, EACH_WAY) as port:
        title = f"a relay {2 * EACH_WAY} ms away"
        return _batches(folder, size, relay, port, title=title, goal=1.6)


def whole_command(folder: Path, size: Size) -> Measured:
    """starter.py --dev from nothing, list and report included, less one of 20 recipients."""
    mails, few = mailing(folder, size.recipients), mailing(folder, FEW)
    bare_runs: list[BareRun] = []
    all_of_it: list[float] = []
    small: list[float] = []
    with sink(folder) as relay:
        counted = Counted(relay)
        for number in range(size.rounds):
            bare_runs.append(_bare(folder, relay.port, counted, mails, size))
            for batch, times in ((few, small), (mails, all_of_it)):
                with counted.takes(batch.recipients):
                    times.append(
                        command(
                            folder / f"command-{number}-{batch.recipients}",
                            relay.port,
                            batch,
                            size.connections,
                        )
                    )
    less = [whole - base for whole, base in zip(all_of_it, small, strict=True)]
    return Measured(
        title=_title("the whole command, a relay on this machine", mails, size),
        recipients=size.recipients,
        ways=(
            Way("bare loop", [run.seconds for run in bare_runs]),
            Way(f"command less one of {FEW} recipients", less, goal=1.4),
            Way("command", all_of_it),
        ),
        notes=(f"seconds: command {median(all_of_it):.2f}, of {FEW} recipients {median(small):.2f}",),
    )


def _batches(folder: Path, size: Size, relay: Sink, port: int, *, title: str, goal: float) -> Measured:
    mails, few = mailing(folder, size.recipients), mailing(folder, FEW)
    counted = Counted(relay)
    bare_runs: list[BareRun] = []
    runs: list[OurRun] = []
    with place(folder, port) as ours:
        # A worker serves for long, and loads its code once.
        ours.mail(few, size.connections, "warm-up")
        for number in range(size.rounds):
            bare_runs.append(_bare(folder, port, counted, mails, size))
            with counted.takes(mails.recipients):
                runs.append(ours.mail(mails, size.connections, f"round-{number}"))
        peak = ours.peak_megabytes()
    return Measured(
        title=_title(title, mails, size),
        recipients=size.recipients,
        ways=(
            Way("bare loop", [run.seconds for run in bare_runs]),
            Way("mailing: workflow's start to last recipient", [run.mailing for run in runs], goal=goal),
            Way("whole workflow: start to result", [run.whole for run in runs]),
        ),
        notes=_notes(mails, bare_runs, runs, counted, peak),
    )


def _notes(
    mails: Mailing, bare_runs: Sequence[BareRun], runs: Sequence[OurRun], counted: Counted, peak: float
) -> tuple[str, ...]:
    def middle(what: Callable[[OurRun], float]) -> float:
        return median(map(what, runs))

    heartbeats = middle(lambda run: run.heartbeats)
    return (
        f"history: {middle(lambda run: run.events):,.0f} events, "
        f"{middle(lambda run: run.history_bytes):,.0f} bytes",
        f"heartbeats: {heartbeats:,.0f}, {heartbeats / middle(lambda run: run.mailing):,.0f} a second, "
        f"{mails.recipients / max(heartbeats, 1):,.0f} recipients each",
        f"CPU seconds: worker {middle(lambda run: run.worker_cpu):.2f}, "
        f"server {middle(lambda run: run.server_cpu):.2f}, sink {median(counted.cpu[1::2]):.2f}; "
        f"bare loop {median(run.cpu for run in bare_runs):.2f}, its sink {median(counted.cpu[::2]):.2f}",
        f"worker's peak memory: {peak:,.0f} MB",
        f"round trip to the relay: {1000 * median(run.round_trip for run in bare_runs):.1f} ms",
    )


def _bare(folder: Path, port: int, counted: Counted, mails: Mailing, size: Size) -> BareRun:
    with counted.takes(mails.recipients):
        return bare(
            folder,
            port,
            recipients=mails.recipients,
            connections=size.connections,
            octets=mails.octets,
        )


def _title(what: str, mails: Mailing, size: Size) -> str:
    return (
        f"{what}: {mails.recipients:,} recipients, {mails.octets:,} octets each, "
        f"{size.connections} connections, {size.rounds} rounds"
    )


SCENARIOS: dict[str, Callable[[Path, Size], Measured]] = {
    "local": local,
    "command": whole_command,
    "distant": distant,
}

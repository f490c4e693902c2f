"""What a worker counts, for Prometheus: beside the SDK's own metrics, at BATCH_METRICS_ADDRESS.

No label names a batch, a recipient or a relay's words: their number must stay small, and nobody is named.
Nothing is counted mail by mail: each slice tells once a second what has been added (activities/tally.py), so
a killed worker's last second is missing. What is settled for good is told by the report, not by these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from temporalio.common import MetricMeter

from batchmail.batch.attempt import Answer
from batchmail.batch.outcomes import Outcome, Stage

HEARTBEAT_LATENCY = "batchmail_heartbeat_latency_seconds"

BUCKETS = {
    HEARTBEAT_LATENCY: (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
}
"""Bounds in seconds: 3 ms is an idle server on this machine, 5 s the longest a heartbeat is waited for."""

DROPPED = "dropped"
"""The relay fault of a relay that closes connections before it has taken a mail."""


class WaitsFor(StrEnum):
    """What a slice waits for."""

    RELAY = "relay"
    STORE = "store"


@dataclass
class Share:
    """What one running slice adds to the gauges."""

    connections: int = 0
    waits_for: WaitsFor | None = None


class Metrics:
    """The metrics of one worker. With the no-op meter, which is the default, nothing is kept."""

    def __init__(
        self, meter: MetricMeter = MetricMeter.noop, *, namespace: str = "", queue: str = ""
    ) -> None:
        meter = meter.with_additional_attributes({"namespace": namespace, "task_queue": queue})
        self._recipients = meter.create_counter(
            "batchmail_recipients",
            "Recipients by outcome; deferred counts each time that somebody was deferred",
        )
        self._in_doubt = meter.create_counter(
            "batchmail_in_doubt", "Recipients of whom it was not known whether the relay has their mail"
        )
        self._resent = meter.create_counter(
            "batchmail_resent", "Times that somebody in doubt was mailed again, under the same Message-ID"
        )
        self._relay_faults = meter.create_counter(
            "batchmail_relay_faults", "Faults that were the relay's, by the stage of the SMTP session"
        )
        self._store_faults = meter.create_counter(
            "batchmail_store_faults", "Failed tries of slices to read from or write to the store"
        )
        heartbeats = meter.create_counter(
            "batchmail_heartbeats", "Heartbeats of slices, by what the server answered"
        )
        self._heartbeats = {
            answer: heartbeats.with_additional_attributes({"answer": answer.name.lower()})
            for answer in Answer
        }
        self._latency = meter.create_histogram_float(
            HEARTBEAT_LATENCY, "Time from a slice's heartbeat to its answer"
        )
        self._connections = meter.create_gauge(
            "batchmail_connections_open", "Connections to the relay that slices have open"
        )
        self._running = meter.create_gauge("batchmail_slices_running", "Slices that run in this worker")
        self._waiting = meter.create_gauge(
            "batchmail_slices_waiting", "Running slices that wait, by what they wait for"
        )
        self._shares: list[Share] = []
        self._begin_at_zero()

    def heartbeat(self, answer: Answer, seconds: float) -> None:
        """A heartbeat was answered, or waited for in vain, after so long."""
        self._heartbeats[answer].add(1)
        self._latency.record(max(0.0, seconds))

    def settled(self, outcome: Outcome, recipients: int) -> None:
        """So many more have this outcome."""
        self._recipients.add(recipients, {"outcome": outcome.value})

    def in_doubt(self, recipients: int) -> None:
        """So many more are in doubt."""
        self._in_doubt.add(recipients)

    def resent(self, times: int) -> None:
        """So many more mails went to somebody in doubt."""
        self._resent.add(times)

    def relay_faults(self, stage: str, times: int) -> None:
        """So many more faults at this stage: a Stage's value, or DROPPED."""
        self._relay_faults.add(times, {"stage": stage})

    def store_faults(self, times: int) -> None:
        """So many more failed tries."""
        self._store_faults.add(times)

    @contextmanager
    def slice_runs(self) -> Iterator[Share]:
        """A slice runs meanwhile; it keeps its share up to date and calls `show`."""
        share = Share()
        self._shares.append(share)
        self.show()
        try:
            yield share
        finally:
            # By identity: two shares may say the same.
            self._shares = [other for other in self._shares if other is not share]
            self.show()

    def show(self) -> None:
        """The gauges say what the slices' shares say."""
        self._running.set(len(self._shares))
        self._connections.set(sum(share.connections for share in self._shares))
        for what in WaitsFor:
            waiting = sum(share.waits_for is what for share in self._shares)
            self._waiting.set(waiting, {"waits_for": what.value})

    def _begin_at_zero(self) -> None:
        """What appears only when it has grown looks to Prometheus as if it had not."""
        self.show()
        for outcome in Outcome:
            self.settled(outcome, 0)
        for heartbeats in self._heartbeats.values():
            heartbeats.add(0)
        for stage in (*(stage for stage in Stage if stage), DROPPED):
            self.relay_faults(stage, 0)
        self.in_doubt(0)
        self.resent(0)
        self.store_faults(0)

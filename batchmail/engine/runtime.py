"""The SDK's runtime, of which a process has one: where the log lines and metrics of Temporal's core go.

The core, the SDK's part in Rust, would write log lines to stdout, which belongs to the command's result: they
go through Python's logging instead. Metrics are kept where an address for them is given, and nowhere else.
"""

from __future__ import annotations

import logging
from functools import cache

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from batchmail.engine.metrics import BUCKETS
from batchmail.errors import SettingsError
from batchmail.settings import Listen


@cache  # set before the process's first client, once
def prepare_runtime(metrics_address: Listen | None = None) -> None:
    """From now on core's log lines are records of the logger `temporalio.core`, from WARNING up; metrics are
    shown at `metrics_address`, under `/metrics`.

    Raises SettingsError where nothing can listen there.
    """
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    filtering = TelemetryFilter(core_level="WARN", other_level="ERROR")
    telemetry = TelemetryConfig(
        logging=LoggingConfig(filter=filtering, forwarding=forwarding),
        metrics=_prometheus(metrics_address) if metrics_address else None,
        attach_service_name=False,
    )
    try:
        Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)
    except ValueError as error:
        raise SettingsError(
            f"BATCH_METRICS_ADDRESS: nothing can listen at {metrics_address} ({_why(error)}): give each "
            "worker of this machine an address of its own, or none."
        ) from None


def _prometheus(address: Listen) -> PrometheusConfig:
    return PrometheusConfig(
        bind_address=str(address),
        counters_total_suffix=True,
        unit_suffix=True,
        durations_as_seconds=True,
        histogram_bucket_overrides=BUCKETS,
    )


def _why(error: ValueError) -> str:
    return str(error).rpartition(": ")[2].partition(" (os error")[0]

"""The log lines of Temporal's core (the SDK's part in Rust) go through Python's logging.

By itself it writes them to stdout, which belongs to the command's result.
"""

from __future__ import annotations

import logging
from functools import cache

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)


@cache  # a process has one default runtime, set before its first client
def forward_core_logs() -> None:
    """From now on they are records of the logger `temporalio.core`, from WARNING up."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    filtering = TelemetryFilter(core_level="WARN", other_level="ERROR")
    logs = LoggingConfig(filter=filtering, forwarding=forwarding)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=logs)), error_if_already_set=False)

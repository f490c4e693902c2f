"""Traces by OpenTelemetry, for those who have a collector: start, workflow, each slice, report, notice.

On where OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set, and the extra `tracing` is installed. All
else is OpenTelemetry's own: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, … Spans are sent over HTTP.

A span carries names, ids and times. What an error said stays here, since it may name somebody: its type is
told. Queries, a few each second, are left out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from batchmail.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from temporalio.client import Interceptor

_SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PATIENCE = 3.0
"""Seconds that the end of the process waits for the collector."""


def tracing_interceptors() -> Sequence[Interceptor]:
    """What a client needs in order to trace; nothing where tracing is off.

    Raises SettingsError where it is on and not installed.
    """
    provider = _provider()
    if provider is None:
        return ()
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return (TracingInterceptor(provider.get_tracer("batchmail")),)


def finish_tracing() -> None:
    """Send what has not been sent yet, within a few seconds; to be called before the process ends."""
    if _provider.cache_info().currsize and (provider := _provider()):
        # In a thread of its own, since a collector out of reach is tried again and again.
        sending = threading.Thread(target=provider.shutdown, daemon=True)
        sending.start()
        sending.join(_PATIENCE)


@cache  # a process has one
def _provider() -> TracerProvider | None:
    switch = next((name for name in _SWITCHES if os.environ.get(name)), None)
    if switch is None:
        return None
    try:
        from batchmail.engine.spans import provide
    except ImportError:
        raise SettingsError(
            f"{switch} is set and tracing not installed: run `uv sync --extra tracing`, or unset {switch}."
        ) from None
    return provide()

"""The spans' way to the collector, and what is left out on it. Needs the extra `tracing`."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status

_NOISE = ("QueryWorkflow:", "HandleQuery:")
_ERROR_TYPE = "exception.type"


def provide() -> TracerProvider:
    """A provider that sends spans where OpenTelemetry's own variables say."""
    named = Resource.create({"service.name": "batchmail"}).merge(OTELResourceDetector().detect())
    # No atexit: this process ends without (batchmail/engine/leaving.py).
    provider = TracerProvider(resource=named, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Discreet(OTLPSpanExporter())))
    return provider


class Discreet(SpanExporter):
    """Sends spans on without what errors said, and without the queries."""

    def __init__(self, to: SpanExporter) -> None:
        self._to = to

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        told = [_without_texts(span) for span in spans if not span.name.startswith(_NOISE)]
        return self._to.export(told) if told else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """No more are sent."""
        self._to.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Whether all is sent."""
        return self._to.force_flush(timeout_millis)


def _without_texts(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[_type_alone(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _type_alone(event: Event) -> Event:
    kind = (event.attributes or {}).get(_ERROR_TYPE)
    return Event(event.name, {_ERROR_TYPE: kind} if kind else {}, event.timestamp)

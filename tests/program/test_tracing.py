"""Traces: one batch is one trace, from the starter to each slice, in which nobody is named."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from temporalio.client import WorkflowFailureError

from batchmail.engine.ports import LOOPBACK
from tests.program.bench import CHECKOUT, Bench
from tests.program.otlp import Collector, Span
from tests.program.starter_process import Desk

ON = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that takes spans."""
    with Collector().listening() as found:
        yield found


def line_of(span: Span, spans: list[Span]) -> list[str]:
    """The names from the root down to `span`."""
    above = [other for other in spans if other.id == span.parent]
    return [*(line_of(above[0], spans) if above else []), span.name]


async def test_a_batch_is_one_trace_from_the_start_to_each_slice(bench: Bench, collector: Collector) -> None:
    worker = await bench.worker(**{ON: collector.url})
    desk = Desk(bench.folder, bench.environment | {ON: collector.url})
    try:
        desk.write_list(10, first_name="Philippa")
        desk.call("--json", code=0, ADMIN_EMAIL="admin@example.org")
    finally:
        desk.stop()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    spans = collector.spans
    names = Counter(span.name for span in spans)
    assert names["StartWorkflow:BatchEmailWorkflow"] == 1
    assert names["RunWorkflow:BatchEmailWorkflow"] == 1
    assert names["StartActivity:send_slice"] == 10
    assert names["StartActivity:write_report"] == names["StartActivity:notify_admin"] == 1
    for activity in ("send_slice", "write_report", "notify_admin"):
        started = {span.id for span in spans if span.name == f"StartActivity:{activity}"}
        assert started == {span.parent for span in spans if span.name == f"RunActivity:{activity}"}
    assert not [name for name in names if "Query" in name], "a few each second would hide the rest"
    start = next(span for span in spans if span.name.startswith("StartWorkflow:"))
    for span in spans:
        if span.name == "RunActivity:send_slice":
            assert span.trace == start.trace
            assert not span.failed
            assert line_of(span, spans) == [
                "StartWorkflow:BatchEmailWorkflow",
                "StartActivity:send_slice",
                "RunActivity:send_slice",
            ]
    assert {span.service for span in spans} == {"batchmail"}
    for text in (b"@example", b"reader-", b"Philippa", b"Dear", b"Hello"):
        assert text not in collector.raw


async def test_what_an_error_said_stays_here(bench: Bench, collector: Collector) -> None:
    worker = await bench.worker(**{ON: collector.url, "OTEL_SERVICE_NAME": "our-mail"})
    secret = bench.folder / "ada@example.com.csv"
    handle = await bench.start_at(secret)
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    (failed,) = [span for span in collector.spans if span.name == "RunActivity:snapshot_list"]
    assert failed.failed
    assert failed.service == "our-mail"
    assert failed.events == ({"exception.type": "temporalio.exceptions.ApplicationError"},)
    assert b"ada@" not in collector.raw


async def test_a_collector_that_never_answers_holds_no_mail_and_no_stop_up(bench: Bench) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        address = f"http://{LOOPBACK}:{silent.getsockname()[1]}"
        worker = await bench.worker(**{ON: address, "OTEL_EXPORTER_OTLP_TIMEOUT": "100"})
        result = await (await bench.start(20, connections=2, slice_size=20)).result()
        assert result.sent == 20
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0


def python(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What this code says, in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHECKOUT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_switched_on_without_being_installed_is_one_sentence_with_the_remedy() -> None:
    said = python(
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from batchmail.engine.tracing import tracing_interceptors\n"
        "try: tracing_interceptors()\n"
        "except Exception as error: print(error)",
        **{ON: "http://127.0.0.1:4318"},
    )
    assert said.stdout == (
        f"{ON} is set and tracing not installed: run `uv sync --extra tracing`, or unset {ON}.\n"
    ), said


def test_switched_off_nothing_of_it_is_loaded() -> None:
    said = python(
        "import sys, worker\nfrom batchmail.engine.tracing import finish_tracing, tracing_interceptors\n"
        "print(tracing_interceptors()); finish_tracing()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    assert said.stdout == "()\n[]\n", said

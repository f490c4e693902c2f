"""A log line for machines: one JSON object, in which nobody is named."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest

from batchmail.engine.json_lines import JsonLine
from batchmail.errors import ListError


def line(
    message: str, *values: object, error: Exception | None = None, debug: bool = False, **more: Any
) -> Any:
    """What is logged, read back."""
    found = None
    try:
        if error is not None:
            raise error
    except Exception:
        found = sys.exc_info()
    record = logging.LogRecord(
        "here", logging.WARNING, __file__, 1, message, values, found, sinfo="the stack"
    )
    record.__dict__.update(more)
    text = JsonLine(debug=debug).format(record)
    assert "\n" not in text
    return json.loads(text)


def test_an_event_has_its_time_level_logger_and_message() -> None:
    said = line("slice %s\nof “%s”", "1-20", "Ünïcode")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    assert said == {"level": "WARNING", "logger": "here", "message": "slice 1-20\nof “Ünïcode”"}


def test_an_error_is_told_by_type_and_place_and_whole_only_with_debug() -> None:
    error = ValueError("ada@example.com is unknown")
    assert re.fullmatch(r"because of ValueError at line:\d+", line("failed", error=error)["error"])
    whole = line("failed", error=error, debug=True)["error"]
    assert whole.startswith("Traceback")
    assert whole.endswith("ada@example.com is unknown")


def test_our_own_errors_are_told_by_their_sentence() -> None:
    assert line("failed", error=ListError("The list is empty."))["error"].endswith("The list is empty.")


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        (
            {
                "temporal_workflow": {
                    "workflow_id": "news",
                    "run_id": "7",
                    "attempt": 1,
                    "namespace": "default",
                }
            },
            {"batch": "news", "run_id": "7", "attempt": 1},
        ),
        (
            {
                "temporal_activity": {
                    "workflow_id": "news",
                    "workflow_run_id": "7",
                    "activity_type": "open_batch",
                    "activity_id": "2",
                    "attempt": 3,
                }
            },
            {"batch": "news", "run_id": "7", "activity": "open_batch", "activity_id": "2", "attempt": 3},
        ),
    ],
)
def test_temporal_s_own_records_say_which_batch(extra: dict[str, Any], place: dict[str, Any]) -> None:
    said = line("failed", **extra)
    assert {key: said[key] for key in place} == place
    assert "namespace" not in said

"""Log lines for machines: one JSON object a line, with the batch and the slice that it is about.

    {"time": "2026-01-31T12:00:00.000Z", "level": "WARNING", "logger": "activities.patience",
     "message": "waiting: …", "batch": "spring-news", "activity": "send_slice", "attempt": 1, …}

Which keys there are: docs/operations.md. No recipient is named, as in the lines for people.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

from temporalio import activity

from batchmail.engine.log_lines import LogLine

slice_at_work: ContextVar[str] = ContextVar("slice_at_work")
"""The row range of the slice in whose tasks something is logged."""


class JsonLine(logging.Formatter):
    """An object an event. With `debug` an error comes with its traceback, else with type and place."""

    def __init__(self, *, debug: bool = False) -> None:
        super().__init__()
        self._errors = logging.Formatter() if debug else LogLine()

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_place(record),
        }
        if record.exc_info:
            line["error"] = self._errors.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _place(record: logging.LogRecord) -> dict[str, object]:
    """The batch, activity and slice, as far as there is one: Temporal's own records carry theirs."""
    if activity.in_activity():
        info = activity.info()
        place: dict[str, object] = {
            "batch": info.workflow_id,
            "run_id": info.workflow_run_id,
            "activity": info.activity_type,
            "activity_id": info.activity_id,
            "attempt": info.attempt,
        }
        rows = slice_at_work.get(None)
        return place | {"slice": rows} if rows else place
    said = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None)
    if not isinstance(said, dict):
        return {}
    known = {
        "workflow_id": "batch",
        "workflow_run_id": "run_id",
        "run_id": "run_id",
        "activity_type": "activity",
        "activity_id": "activity_id",
        "attempt": "attempt",
    }
    return {ours: said[theirs] for theirs, ours in known.items() if theirs in said}

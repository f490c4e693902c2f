"""What a log line shows of an error: one line, type and place, and nobody's address."""

from __future__ import annotations

import logging
import sys

import pytest
from temporalio.exceptions import ApplicationError

from batchmail.engine.log_lines import LogLine
from batchmail.errors import ListError


def line(message: str, error: Exception | None = None) -> str:
    """What is logged of `message` and `error`, after the time."""
    try:
        if error is not None:
            raise error
        found = None
    except Exception:
        found = sys.exc_info()
    record = logging.LogRecord("here", logging.WARNING, __file__, 1, message, None, found, sinfo="the stack")
    return LogLine().format(record).partition(" WARNING ")[2]


def test_lines_within_a_message_are_joined() -> None:
    assert line("first\nsecond") == "here: first second"


def test_an_error_that_is_not_ours_is_told_by_type_and_place() -> None:
    said = line("failed", ValueError("ada@example.com is\nunknown"))
    assert said.startswith("here: failed because of ValueError at line:")
    assert "@" not in said
    assert "\n" not in said


@pytest.mark.parametrize("error", [ListError("The list is empty."), ApplicationError("The list is empty.")])
def test_our_own_errors_are_told_by_their_sentence(error: Exception) -> None:
    assert line("failed", error).endswith("The list is empty.")

"""How log lines look: one line an event, in which no recipient is named."""

from __future__ import annotations

import logging

from temporalio.exceptions import ApplicationError

from batchmail.errors import BatchmailError

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogLine(logging.Formatter):
    """A line an event, with type and place of the error it tells of instead of a traceback.

    The SDK logs errors whole. What stands in their texts is known of our own errors only: these are told by
    their sentence, too.
    """

    def __init__(self) -> None:
        super().__init__(LINE)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return " ".join(super().format(record).splitlines())

    # The names are those of the standard library.

    def formatException(self, ei: object) -> str:
        """Which error it was."""
        error = ei[1] if isinstance(ei, tuple) else None
        return f"because of {_in_short(error)}" if isinstance(error, BaseException) else ""

    def formatStack(self, stack_info: str) -> str:
        """Nothing: stacks are for --debug."""
        return ""


def _in_short(error: BaseException) -> str:
    if isinstance(error, ApplicationError):
        return str(error)
    said = f": {error}" if isinstance(error, BatchmailError) else ""
    return f"{type_and_place(error)}{said}"


def type_and_place(error: BaseException) -> str:
    """Which error it was, and where: all that is told of one whose text may name somebody."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"

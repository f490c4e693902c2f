"""What a finished batch came to, for a person."""

from __future__ import annotations

from datetime import datetime

from batchmail.batch.options import BatchOptions
from batchmail.batch.result import BatchResult, Status
from batchmail.cli.screen import Screen
from batchmail.report.phrases import count, span

_NOT_SENT = (
    ("rejected", "refused for good"),
    ("expired", "put off until the last try"),
    ("unknown", "in doubt: may have been delivered, not mailed again"),
    ("suppressed", "not to be mailed"),
)


def show_summary(
    result: BatchResult, options: BatchOptions, screen: Screen, purged: datetime | None = None
) -> None:
    """The result on stdout: who was mailed, who was not, where the report lies, or when it was `purged`."""
    took = f"in {span(result.seconds)}"
    if result.everyone_sent:
        whom = (
            "The one recipient was" if result.total == 1 else f"All {count(result.total, 'recipient')} were"
        )
        screen.result(f"{whom} mailed {took}.", "green")
    else:
        screen.result(f"{result.sent:,} of {count(result.total, 'recipient')} mailed {took}.", "yellow")
        for name, meaning in _NOT_SENT:
            if number := getattr(result, name):
                screen.result_fact(name, f"{number:,}  {meaning}")
    if result.status is Status.CANCELLED:
        screen.result_fact("cancelled", "before everybody was mailed")
    if result.in_doubt_resent:
        screen.result_fact(
            "twice?", f"{count(result.in_doubt_resent, 'mail')} sent again after a break: named in the report"
        )
    if result.report:
        screen.result_fact("report", result.report)
    elif purged is not None:
        screen.result_fact("report", f"purged on {purged.astimezone():%Y-%m-%d}")
    if result.admin_notified:
        at_least = "at least one of " if len(options.admins) > 1 else ""
        screen.result_fact("told", at_least + (", ".join(options.admins) or "the admins"))
    elif options.admins:
        screen.result_fact("told", "nobody: the mail to the admins could not be sent")


def exit_code(result: BatchResult) -> int:
    """0 when every usable recipient was sent, else 1."""
    return 0 if result.everyone_sent else 1

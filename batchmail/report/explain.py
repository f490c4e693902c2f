"""Say in our own words how it ended for a recipient; the relay's own words are kept apart.

What an outcome means where no cause was kept, and what a doubt means beside it, is said here; what the relay
meant is said by `reason`, which is given (batchmail.relay.reasons).
"""

from __future__ import annotations

from collections.abc import Callable

from batchmail.batch.outcomes import Cause, Outcome
from batchmail.report.endings import Ending

Reason = Callable[[Cause], str]

_WITHOUT_CAUSE = {
    Outcome.SENT: "",
    Outcome.REJECTED: "the relay refused it",
    Outcome.EXPIRED: "the relay put it off until it was given up",
    Outcome.UNKNOWN: "the mail may have been delivered, or may yet be",
    Outcome.SUPPRESSED: "not mailed: the batch was cancelled before",
}


def explain(ending: Ending, reason: Reason) -> str:
    """One phrase for the report; "" where there is nothing to explain. Never an address."""
    if not ending.recorded:
        return "no outcome was recorded: the mail may have been delivered, or not"
    said = reason(ending.cause) or _WITHOUT_CAUSE.get(ending.outcome, "")
    if not ending.in_doubt or said == _WITHOUT_CAUSE[Outcome.UNKNOWN]:
        return said
    if ending.outcome is Outcome.SENT:
        return "delivered to the relay, possibly more than once"
    return f"{said}; an earlier try may have been delivered"

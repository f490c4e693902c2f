"""The mail that tells the admins, once, how a batch has ended: what a person reads at three in the morning.

Nobody's address but the admins' is in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome
from batchmail.batch.result import BatchResult, Status
from batchmail.report.admin_mail import Heads, admin_mail, clean, facts
from batchmail.report.failures import Failure
from batchmail.report.phrases import count, span

_MEANING = {
    Outcome.REJECTED: "refused for good",
    Outcome.EXPIRED: "put off by the relay until given up",
    Outcome.UNKNOWN: "may have been delivered, or may yet be: yours to decide",
    Outcome.SUPPRESSED: "not mailed",
}


def notice(
    result: BatchResult,
    heads: Heads,
    *,
    list_name: str,
    message_subject: str = "",
    failures: Sequence[Failure],
) -> bytes:
    """The mail to one admin, as `admin_mail` makes it.

    `failures` are the first few; "" for a subject that is not known.
    """
    lines = _lines(result, clean(list_name), clean(message_subject), failures)
    return admin_mail(headline(result), lines, list_name=list_name, heads=heads)


def headline(result: BatchResult) -> str:
    """The batch in half a line, such as `9,998 of 10,000 sent, 2 rejected`."""
    if not result.total:
        parts = ["nobody to mail"]
    elif result.everyone_sent:
        parts = [f"all {result.total:,} sent"]
    else:
        parts = [f"{result.sent:,} of {result.total:,} sent"]
        parts += [
            f"{number:,} {outcome}"
            for outcome, number in _counts(result)
            if outcome is not Outcome.SENT and number
        ]
    if result.status is Status.CANCELLED:
        parts.insert(0, "cancelled")
    return ", ".join(parts)


def _lines(result: BatchResult, list_name: str, subject: str, failures: Sequence[Failure]) -> list[str]:
    lines = [_opening(result), ""]
    lines += facts(
        ("List", list_name),
        ("Message", subject),
        ("Batch", result.batch_id),
        ("Status", str(result.status)),
        ("Duration", span(result.seconds)),
    )
    lines += ["", f"{'Recipients':12}{result.total:>12,}"]
    lines += [
        f"  {outcome:10}{number:>12,}  {_MEANING.get(outcome, '')}".rstrip()
        for outcome, number in _counts(result)
        if number
    ]
    remarks = _remarks(result)
    if remarks:
        lines += ["", *remarks]
    if failures:
        lines += ["", "First failures, by line of the list:"]
        lines += [f"  line {one.line}: {one.outcome}, {clean(one.reason, 300)}" for one in failures]
        more = result.total - result.sent - result.suppressed - len(failures)
        if more > 0:
            lines.append(f"  and {more:,} more: see the report")
    return [*lines, "", f"Report, a row a recipient: {clean(result.report, 900)}"]


def _opening(result: BatchResult) -> str:
    if result.status is Status.CANCELLED:
        return "The batch was cancelled. What became of everyone until then:"
    if not result.total:
        return "The batch has ended: its list had nobody to mail."
    if result.everyone_sent:
        return "The batch has ended: the relay took the mail for everyone."
    if result.sent + result.unknown == result.total:
        return f"The batch has ended. Whether the relay took the mail is not known for {result.unknown:,}."
    return "The batch has ended, and not everyone was mailed."


def _remarks(result: BatchResult) -> list[str]:
    lines = []
    if result.in_doubt_resent:
        lines += [
            f"In doubt and sent again: {result.in_doubt_resent:,}. Some people may have the mail",
            "twice, under one Message-ID: it was unclear whether the relay had it. The report says who.",
        ]
    left_out = []
    if result.duplicates_in_list:
        left_out.append(count(result.duplicates_in_list, "duplicate"))
    if result.invalid_rows:
        left_out.append(f"{count(result.invalid_rows, 'row')} that could not be used")
    if left_out:
        lines.append(f"Left out of the list: {' and '.join(left_out)}.")
    return lines


def _counts(result: BatchResult) -> list[tuple[Outcome, int]]:
    counts = {
        Outcome.SENT: result.sent,
        Outcome.REJECTED: result.rejected,
        Outcome.EXPIRED: result.expired,
        Outcome.UNKNOWN: result.unknown,
        Outcome.SUPPRESSED: result.suppressed,
    }
    return [(outcome, counts[outcome]) for outcome in FINAL_OUTCOMES]

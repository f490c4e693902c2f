"""The mail that tells the admins, once, how a batch has ended: what a person reads at three in the morning.

Plain text, 7-bit clean, with nobody's address but the admins' in it. Where the list's name, or anything else
from outside, holds control characters, they are replaced: nothing from outside makes a header or a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome
from batchmail.batch.result import BatchResult, Status
from batchmail.report.failures import Failure
from batchmail.report.phrases import count, printable, span

_LONGEST_NAME = 100
_LONGEST_LINE = 998
"""RFC 5322, section 2.1.1."""

_MEANING = {
    Outcome.REJECTED: "refused for good",
    Outcome.EXPIRED: "put off by the relay until given up",
    Outcome.UNKNOWN: "may have been delivered, or may yet be: yours to decide",
    Outcome.SUPPRESSED: "not mailed",
}


def notice(
    result: BatchResult,
    *,
    list_name: str,
    message_subject: str = "",
    failures: Sequence[Failure],
    sender: str,
    to: str,
    message_id: str,
    date: datetime,
) -> bytes:
    """The mail to one admin, ready to follow DATA: CRLF, dot-stuffed, ended by a lone dot.

    `message_id` has its angle brackets; `failures` are the first few; "" for a subject that is not known.
    Raises ValueError for a sender or recipient that cannot stand in a header.
    """
    ascii_addresses = sender.isascii() and to.isascii()
    mail = EmailMessage(policy=policy.SMTP if ascii_addresses else policy.SMTPUTF8)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = f"[batchmail] {_clean(list_name)}: {headline(result)}"
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = message_id
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    body = _body(result, _clean(list_name), _clean(message_subject), failures)
    plain = body.isascii() and max(map(len, body.splitlines())) <= _LONGEST_LINE
    mail.set_content(body, charset="utf-8", cte="7bit" if plain else "quoted-printable")
    return re.sub(rb"(?m)^\.", b"..", mail.as_bytes()).removesuffix(b"\r\n") + b"\r\n.\r\n"


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


def _body(result: BatchResult, list_name: str, subject: str, failures: Sequence[Failure]) -> str:
    facts = [("List", list_name), ("Message", subject), ("Batch", result.batch_id)]
    facts += [("Status", str(result.status)), ("Duration", span(result.seconds))]
    lines = [_opening(result), ""]
    lines += [f"{name + ':':10}{value}" for name, value in facts if value]
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
        lines += [f"  line {one.line}: {one.outcome}, {_clean(one.reason, 300)}" for one in failures]
        more = result.total - result.sent - result.suppressed - len(failures)
        if more > 0:
            lines.append(f"  and {more:,} more: see the report")
    lines += ["", f"Report, a row a recipient: {_clean(result.report, 900)}"]
    return "\n".join(lines) + "\n"


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


def _clean(text: str, longest: int = _LONGEST_NAME) -> str:
    """Text from outside as part of one line."""
    line = printable(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"

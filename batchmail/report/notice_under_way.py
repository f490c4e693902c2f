"""The mails to the admins of a batch that is under way: it asks, since too many were rejected; or it has long
waited for something outside.

A mail may be read long after it was written, and the second kind may leave only when its trouble is over: so
each says what was so when, and nothing that is untrue by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from batchmail.batch.brake import Brake
from batchmail.batch.orders import Order, command
from batchmail.batch.progress import Waiting
from batchmail.report.admin_mail import Heads, admin_mail, clean, facts


class Subject(NamedTuple):
    """Which batch it is about."""

    batch_id: str
    list_name: str
    message_subject: str


def rejections_notice(
    about: Subject,
    brake: Brake,
    since: datetime,
    reasons: Sequence[tuple[str, int]],
    heads: Heads,
) -> bytes:
    """The batch paused itself at `since` and asks; `reasons`: the most frequent ones, with recipients."""
    lines = ["The batch has paused itself: too many recipients were rejected.", ""]
    lines += _facts(about, ("Paused", _time(since)))
    lines += [
        "",
        f"Then {brake}.",
        "It mails nobody new until it is resumed or cancelled, and waits as long as that takes.",
    ]
    if reasons:
        lines += ["", "Most frequent reasons, of those looked at:"]
        lines += [f"{number:>9,}  {clean(reason, 300)}" for reason, number in reasons]
    lines += [
        "",
        "To go on; it does not pause for rejections again:",
        f"  {command(Order.RESUME, about.batch_id)}",
        "To end it; whoever was not mailed is reported so:",
        f"  {command(Order.CANCEL, about.batch_id)}",
    ]
    headline = f"paused, {brake.rejected:,} of {brake.settled:,} rejected"
    return admin_mail(headline, lines, list_name=about.list_name, heads=heads)


def wait_notice(about: Subject, waiting: Sequence[Waiting], as_of: datetime, heads: Heads) -> bytes:
    """At `as_of` the batch had waited for these for long."""
    lines = [f"The batch has been held up. What it waited for at {_time(as_of)}:", ""]
    lines += [f"  since {_time(one.since)}: {clean(one.what, 300)}" for one in waiting]
    lines += [
        "",
        *_facts(about),
        "",
        "Nobody is lost by this: the batch tries again by itself, and goes on by itself as soon as it can.",
        "This mail goes by the same relay, so the wait may be over when you read it. How the batch stands:",
        f"  {command(Order.STATUS, about.batch_id)}",
    ]
    headline = f"waiting since {_time(min(one.since for one in waiting))}"
    return admin_mail(headline, lines, list_name=about.list_name, heads=heads)


def _facts(about: Subject, *more: tuple[str, str]) -> list[str]:
    return facts(
        ("List", clean(about.list_name)),
        ("Message", clean(about.message_subject)),
        ("Batch", about.batch_id),
        *more,
    )


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"

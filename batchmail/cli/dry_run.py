"""--dry-run: everything is checked, the first mail is shown, nothing is sent and no server is needed."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy

from batchmail.batch.ids import mail_token
from batchmail.batch.slices import cut, fan_out
from batchmail.cli.job import Job
from batchmail.cli.screen import Screen, json_line
from batchmail.errors import FillError, InputError
from batchmail.lists.snapshot import all_recipients
from batchmail.message.compiled import rfc5322_date
from batchmail.report.phrases import count
from batchmail.store import Store

_SHOWN_FAULTS = 10
_SHOWN_HEADERS = ("From", "To", "Reply-To", "Subject")


async def dry_run(job: Job, batch_id: str, store: Store, screen: Screen, *, json_wanted: bool) -> int:
    """Fill the message for every recipient; show the first mail and the plan.

    Raises InputError when somebody's mail cannot be made.
    """
    first = await _fill_all(job, batch_id, store, screen)
    planned = cut(job.snapshot.total, job.options.connections, job.options.slice_size)
    slices = len(planned.ranges())
    spread = fan_out(planned, job.options.connections)
    screen.fact(
        "plan",
        f"{count(slices, 'slice')} of up to {count(planned.size, 'recipient')}, {spread.at_once} at once, "
        f"{count(min(spread.at_once * spread.connections, job.snapshot.total), 'connection')}",
    )
    screen.fact("batch", batch_id)
    if json_wanted:
        snapshot = job.snapshot
        screen.object(
            json_line(
                {
                    "batch_id": batch_id,
                    "status": "dry-run",
                    "total": snapshot.total,
                    "duplicates_in_list": snapshot.duplicates,
                    "invalid_rows": snapshot.invalid_rows,
                    "slices": slices,
                    "slice_size": planned.size,
                }
            )
        )
        return 0
    screen.say()
    _show(first, screen)
    screen.say("Everything is in order; nothing was sent.", "green")
    return 0


async def _fill_all(job: Job, batch_id: str, store: Store, screen: Screen) -> EmailMessage:
    """The first recipient's mail; every other one is made as well, to see that it can be."""
    domain = job.message.envelope_sender.rpartition("@")[2]
    date = rfc5322_date(datetime.now(UTC))
    first: bytes | None = None
    faults = done = 0
    with screen.during("Filling the message") as tell:
        async for block in all_recipients(store, job.snapshot):
            for one in block:
                name = f"<{mail_token(batch_id, one.address)}@{domain}>"
                try:
                    filled = job.compiled.fill(one, name, date, eight_bit=True)
                except FillError as error:
                    faults += 1
                    if faults <= _SHOWN_FAULTS:
                        screen.fact("cannot", f"line {one.line}: {error}", "yellow")
                else:
                    first = first or filled.data
            done += len(block)
            tell(f"{done:,} of {job.snapshot.total:,}")
    if faults or first is None:
        raise InputError(
            f"The message cannot be filled for {count(faults, 'recipient')} of {job.snapshot.total:,}: "
            "mend these rows or the message; nothing was sent."
        )
    return _parsed(first)


def _parsed(data: bytes) -> EmailMessage:
    """A mail as it goes over the wire, read back: without dot-stuffing (RFC 5321 4.5.2)."""
    lines = data.removesuffix(b".\r\n").split(b"\r\n")
    mail = b"\r\n".join(line.removeprefix(b".") if line.startswith(b".") else line for line in lines)
    parsed = message_from_bytes(mail, policy=default_policy)
    if not isinstance(parsed, EmailMessage):
        raise TypeError("the default policy parses to EmailMessage")
    return parsed


def _show(mail: EmailMessage, screen: Screen) -> None:
    screen.result("The first mail:")
    for name, value in mail.items():
        if name in _SHOWN_HEADERS or not name.lower().startswith(("mime-", "content-", "date", "message-id")):
            screen.result(f"  {name}: {value}")
    screen.result("")
    body = mail.get_body(("plain", "html"))
    for line in (body.get_content() if body is not None else "").rstrip("\n").split("\n"):
        screen.result(f"  {line.rstrip(chr(13))}")
    html = mail.get_body(("html",))
    if html is not None and html is not body:
        screen.result("")
        screen.result(f"  (and as HTML, {len(html.get_content()):,} characters)")
    screen.result("")

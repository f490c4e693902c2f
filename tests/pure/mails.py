"""What a relay and a mailbox make of a filled mail, by the rules of SMTP and by Python's email package."""

from __future__ import annotations

from collections.abc import Sequence
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from batchmail.batch.recipients import Recipient
from batchmail.message.compiled import CompiledMessage, Filled, compile_message
from batchmail.message.source import MessageSource, read_message

DATE = "Tue, 01 Apr 2031 09:00:00 +0000"
MESSAGE_ID = "<0123456789abcdef@example.org>"


def source_of(body: str, *, subject: str = "Hello", kind: str = "text", **more: object) -> MessageSource:
    """A message with this body, as it comes from a file of that kind."""
    given = {"format": kind, "sender": "News <news@example.org>", "subject": subject, "body": body}
    return MessageSource.model_validate({"name": "message.md", "subject_line": 2, **given, **more})


def compiled(body: str, fields: Sequence[str] = (), **more: object) -> CompiledMessage:
    """A compiled message with this body."""
    return compile_message(source_of(body, **more), fields)  # type: ignore[arg-type]


def written(folder: Path, content: str | bytes, name: str = "message.md") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes, name: str = "message.md") -> MessageSource:
    """The message in a file with this content; a sender is set as MAIL_FROM."""
    return read_message(written(folder, content, name), default_sender="default@example.org")


def fill(
    message: CompiledMessage,
    fields: Sequence[str] = (),
    *,
    address: str = "ada@example.com",
    eight_bit: bool = True,
) -> Filled:
    """The mail for one recipient with these fields."""
    return message.fill(Recipient(2, address, tuple(fields)), MESSAGE_ID, DATE, eight_bit)


def received(data: bytes) -> bytes:
    """What a strict relay takes from the octets after DATA (RFC 5321 4.5.2), every rule checked."""
    lines = data.split(b"\r\n")
    assert lines[-2:] == [b".", b""], "the mail ends with a line of one dot, and nothing follows"
    text = lines[:-2]
    for line in text:
        assert b"\r" not in line
        assert b"\n" not in line
        assert b"\0" not in line
        assert len(line.removeprefix(b".")) <= 998
        assert line != b".", "the mail would end early"
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in text)


def parsed(filled: Filled) -> EmailMessage:
    """The mail as a mailbox reads it; nothing in it may be wrong."""
    mail = received(filled.data)
    assert filled.size == len(mail)
    message = message_from_bytes(mail, policy=default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert not part.defects
    return message


def body_of(message: EmailMessage, kind: str = "plain") -> str:
    """The decoded text or HTML part."""
    part = message.get_body((kind,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()

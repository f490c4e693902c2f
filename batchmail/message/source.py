"""A message as its author wrote it: read from a file, kept in the store."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from batchmail.errors import MessageError
from batchmail.message.front_matter import Entry, split_front_matter
from batchmail.message.headers import check_one_line
from batchmail.message.mailboxes import read_mailbox, read_mailboxes
from batchmail.message.wording import cut
from batchmail.store import Store

_FORMATS: dict[str, Literal["text", "markdown"]] = {".txt": "text", ".md": "markdown"}
MESSAGES = "messages"
_LARGEST = 10_000_000
_LARGEST_MARKDOWN = 1_000_000  # it is made into HTML in seconds, and then is more than any mailbox shows


def _one_mailbox(text: str) -> str:
    read_mailbox(text)
    return text


def _mailboxes(text: str) -> str:
    read_mailboxes(text)
    return text


class MessageSource(BaseModel):
    """All that decides what a mail says, and the places of its parts in the file, for errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    format: Literal["text", "markdown"]
    sender: Annotated[str, AfterValidator(_one_mailbox)]
    """The From header's value as its author wrote it; not a template."""
    subject: str
    """A template."""
    reply_to: Annotated[str, AfterValidator(_mailboxes)] | None = None
    """Not a template."""
    headers: tuple[tuple[str, str], ...] = ()
    """Name and template of each header of the author's own."""
    body: str
    """A template; line ends are LF."""
    name: str
    """The file's name."""
    body_line: int = 1
    subject_line: int = 0
    """0: the subject is not from the file."""
    header_lines: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The message's id in the store: a hash over what decides a mail's content, so not over places."""
        content = self.model_dump(exclude={"name", "body_line", "subject_line", "header_lines"})
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def envelope_sender(self) -> str:
        """The address for MAIL FROM: that of the From header."""
        return read_mailbox(self.sender).address


def find_message(list_path: Path) -> Path:
    """The message beside the list. Raises MessageError where there is none, or more than one."""
    found = [path for suffix in _FORMATS if (path := list_path.with_name(f"message{suffix}")).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise MessageError(
            f"message.txt and message.md both lie beside {list_path}: name the one to mail with --message."
        )
    raise MessageError(
        f"No message.md or message.txt lies beside {list_path}: write one, or name one with --message."
    )


def read_message(
    path: Path, *, subject: str | None = None, sender: str | None = None, default_sender: str | None = None
) -> MessageSource:
    """Read the message file at `path`.

    `subject` and `sender` (the options) come before what the file says, and that before `default_sender`
    (MAIL_FROM). Raises MessageError, one sentence with file and line or the option's name.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise MessageError(f"{path}: a message is a .md or a .txt file: save it as one of these.")
    head, body, body_line = split_front_matter(_read_text(path), path.name)
    if not body.strip():
        raise MessageError(f"{path.name}: the message has no text: write it below the head.")
    if kind == "markdown" and len(body) > _LARGEST_MARKDOWN:
        raise MessageError(f"{path.name}: the Markdown is longer than 1,000,000 characters: shorten it.")
    subject_entry = _subject(path, subject, head.subject)
    return MessageSource(
        format=kind,
        sender=_sender(path, sender, head.sender, default_sender),
        subject=subject_entry.text,
        reply_to=_reply_to(path, head.reply_to),
        headers=tuple((name, entry.text) for name, entry in head.headers),
        body=body.rstrip("\n") + "\n",
        name=path.name.encode(errors="replace").decode(),
        body_line=body_line,
        subject_line=subject_entry.line,
        header_lines=tuple(entry.line for _, entry in head.headers),
    )


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise MessageError(f"The message {path} cannot be read: {error.strerror}.") from None
    if len(data) > _LARGEST:
        raise MessageError(f"{path}: the message is larger than 10 MB: link to what is large.")
    if b"\0" in data:
        raise MessageError(f"{path}: this is not a text in UTF-8: save the message as UTF-8 text.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MessageError(
            f"{path.name}, line {line}: this is not UTF-8: save the message as UTF-8 text."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _whole(option: str, text: str) -> str:
    """An option's value; one with octets that are not UTF-8 arrives with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MessageError(f"{option}: the value is not UTF-8; check the terminal's encoding.") from None
    return text


def _subject(path: Path, option: str | None, file: Entry | None) -> Entry:
    entry = Entry(_whole("--subject", option), 0) if option is not None else file
    text = entry.text.strip() if entry is not None else ""  # YAML's '>' leaves a line end at the end
    if entry is None or not text:
        raise MessageError(
            f"{path.name}: the message has no subject: put 'subject: …' at its head or give --subject."
        )
    try:
        check_one_line(text)
    except ValueError as error:
        where = f"{path.name}, line {entry.line}: 'subject'" if entry.line else "--subject"
        raise MessageError(f"{where} {cut(text)!r} cannot be used: {error}.") from None
    return entry


def _sender(path: Path, option: str | None, file: Entry | None, default: str | None) -> str:
    if option is not None:
        text, where = _whole("--from", option), "--from"
    elif file is not None:
        text, where = file.text, f"{path.name}, line {file.line}: 'from'"
    elif default is not None:
        text, where = default, "MAIL_FROM"
    else:
        raise MessageError(
            f"{path.name}: the message has no sender: put 'from: Name <address>' at its head, "
            "give --from or set MAIL_FROM."
        )
    try:
        read_mailbox(text)
    except ValueError as error:
        raise MessageError(f"{where} {cut(text)!r} cannot be used: {error}.") from None
    return text.strip()


def _reply_to(path: Path, entry: Entry | None) -> str | None:
    if entry is None:
        return None
    try:
        read_mailboxes(entry.text)
    except ValueError as error:
        raise MessageError(
            f"{path.name}, line {entry.line}: 'reply-to' {cut(entry.text)!r} cannot be used: {error}."
        ) from None
    return entry.text.strip()


def message_name(message_id: str) -> str:
    """The object with a message's source."""
    return f"{MESSAGES}/{message_id}"


async def save_message(store: Store, source: MessageSource) -> None:
    """Keep `source` in the store under its id; where it is there, its time becomes this one, by which a purge
    goes. Raises StoreError."""
    await store.put(message_name(source.id), source.model_dump_json().encode())


async def load_message(store: Store, message_id: str) -> MessageSource:
    """The message with this id. Raises MissingObjectError, StoreError, MessageError."""
    content = await store.get(message_name(message_id))
    try:
        return MessageSource.model_validate_json(content)
    except ValidationError:
        raise MessageError(
            f"{message_name(message_id)} in the store {store} is not a message this version can read."
        ) from None

"""A message compiled once a batch, and filled per recipient: the hot path of the product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import NamedTuple

from batchmail.batch.recipients import Recipient
from batchmail.errors import FillError, MessageError
from batchmail.message.encoding import Encoded, Transfer, dot_stuffed, encode_body
from batchmail.message.headers import header, one_line
from batchmail.message.mailboxes import read_mailbox, read_mailboxes
from batchmail.message.markdown import render_markdown
from batchmail.message.source import MessageSource
from batchmail.message.templates import Template, compile_template
from batchmail.message.wording import Place


class Filled(NamedTuple):
    """A mail for SMTP.

    `data` is what follows the reply to DATA: CRLF, dot-stuffed, with its final dot. `size` is the number of
    octets for MAIL's SIZE parameter (RFC 1870): without stuffing and final dot.
    """

    data: bytes
    size: int


class CompiledMessage:
    """A message, ready to be filled for every recipient of a list with certain fields.

    An address that is not ASCII stays as it is, for a relay with SMTPUTF8 (RFC 6532).

    Whatever the values are: they stay within the header or part they stand in (RFC 5322), and the mail ends
    where its text ends (RFC 5321 4.5.2). The same arguments give the same octets.
    """

    def __init__(
        self,
        source: MessageSource,
        subject: Template,
        headers: Sequence[tuple[str, Template]],
        text: Template,
        html: Template | None,
    ) -> None:
        self._head = f"From: {_mailbox_lines(source)}\r\nTo: "
        reply_to = f"Reply-To: {_reply_to(source)}\r\n" if source.reply_to else ""
        self._tail = f"\r\n{reply_to}MIME-Version: 1.0\r\n"
        self._subject = subject
        self._headers = headers
        self._text = text
        self._html = html
        self._boundary = f"=_{source.id}"

    def fill(self, recipient: Recipient, message_id: str, date: str, eight_bit: bool) -> Filled:
        """The mail for one recipient.

        `message_id` is `<token@domain>`, `date` comes from `rfc5322_date`, `eight_bit` says whether the relay
        offers 8BITMIME. Raises FillError, without any field's value or the address in its text.
        """
        address = recipient.address
        values = (address, *recipient.fields)
        row = "".join(values)
        clean = row.isprintable()
        if not clean:
            values = tuple(map(_lf, values))
        if not address.isprintable():
            raise FillError("The address of a recipient has characters that a mail's header cannot hold.")
        try:
            head = (
                f"{self._head}{address}\r\n{header('Subject', self._subject.text(values))}\r\n"
                f"Date: {date}\r\nMessage-ID: {message_id}{self._tail}{self._own_headers(values)}"
            )
            text = encode_body(self._text.lines(values, clean), eight_bit)
            if self._html is None:
                mail = _single(head, text)
            else:
                html = encode_body(self._html.lines(values, clean), eight_bit)
                mail = _alternatives(head, text, html, self._boundary)
        except UnicodeEncodeError:
            failure = FillError("A mail has a character that UTF-8 cannot hold (half of a surrogate pair).")
        else:
            return Filled(dot_stuffed(mail), len(mail))
        raise failure

    def _own_headers(self, values: tuple[str, ...]) -> str:
        """The author's own headers; one that comes out empty is left out."""
        lines = ""
        for name, template in self._headers:
            text = one_line(template.text(values))
            if text:
                lines += header(name, text) + "\r\n"
        return lines


def compile_message(
    source: MessageSource, fields: Sequence[str], list_name: str = "the list", *, accepted: bool = False
) -> CompiledMessage:
    """Compile `source` for a list with these fields, in this order; `email` is the address.

    `accepted`: its batch is under way, so that bounds for new messages come too late. Raises MessageError,
    which names file and line: see `compile_template`.
    """
    names = ("email", *fields)
    subject_place = Place(source.name, source.subject_line) if source.subject_line else Place("--subject", 0)
    subject = compile_template(source.subject, subject_place, names, list_name, accepted=accepted)
    headers = [
        (name, compile_template(text, Place(source.name, line), names, list_name, accepted=accepted))
        for (name, text), line in zip(source.headers, source.header_lines, strict=True)
    ]
    body_place = Place(source.name, source.body_line)
    text = compile_template(source.body, body_place, names, list_name, accepted=accepted)
    html = _compile_html(source, names, list_name, accepted) if source.format == "markdown" else None
    return CompiledMessage(source, subject, headers, text, html)


def rfc5322_date(when: datetime) -> str:
    """An aware `when` as the Date header has it (RFC 5322 3.3)."""
    return format_datetime(when)


def _compile_html(source: MessageSource, names: Sequence[str], list_name: str, accepted: bool) -> Template:
    """The HTML part. The body has compiled as text before, so what fails here Markdown has taken apart."""
    place = Place(f"{source.name} (as HTML)", 0)
    try:
        html = render_markdown(source.body)
        return compile_template(html, place, names, list_name, html=True, accepted=accepted)
    except MessageError as error:
        raise MessageError(
            f"{str(error).rstrip('.')}: Markdown has torn apart tags that belong together; "
            "put each on a line of its own."
        ) from None


def _mailbox_lines(source: MessageSource) -> str:
    return str(read_mailbox(source.sender))


def _reply_to(source: MessageSource) -> str:
    return ",\r\n ".join(map(str, read_mailboxes(source.reply_to or "")))


def _lf(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _single(head: str, text: Encoded) -> bytes:
    head += f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {text.transfer}\r\n\r\n"
    return head.encode() + text.data


def _alternatives(head: str, text: Encoded, html: Encoded, boundary: str) -> bytes:
    """The mail as multipart/alternative (RFC 2046 5.1.4); no part holds the boundary."""
    number = 0
    mark = boundary.encode()
    while mark in text.data or mark in html.data:
        number += 1
        mark = f"{boundary}.{number}".encode()
    widest = (
        Transfer.EIGHT_BIT if Transfer.EIGHT_BIT in (text.transfer, html.transfer) else Transfer.SEVEN_BIT
    )
    return b"".join(
        (
            head.encode(),
            b'Content-Type: multipart/alternative; boundary="%b"\r\n' % mark,
            f"Content-Transfer-Encoding: {widest}\r\n\r\n".encode(),
            b"--%b\r\nContent-Type: text/plain; charset=utf-8\r\n" % mark,
            f"Content-Transfer-Encoding: {text.transfer}\r\n\r\n".encode(),
            text.data,
            b"\r\n--%b\r\nContent-Type: text/html; charset=utf-8\r\n" % mark,
            f"Content-Transfer-Encoding: {html.transfer}\r\n\r\n".encode(),
            html.data,
            b"\r\n--%b--\r\n" % mark,
        )
    )

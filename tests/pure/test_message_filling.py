"""A filled mail: whole, exact, and nothing a list holds can change its shape."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchmail.errors import FillError
from batchmail.message.compiled import compile_message, rfc5322_date
from batchmail.message.headers import one_line
from batchmail.message.source import read_message
from tests.pure.mails import DATE, MESSAGE_ID, body_of, compiled, fill, parsed, received, source_of

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "X-Own"]
HEADERS += ["Content-Type", "Content-Transfer-Encoding"]
MAIL = {
    "subject": "{{ a }} and {{ b }}",
    "reply_to": "Grün <a@example.org>, b@example.org",
    "headers": (("X-Own", "own {{ a }}"),),
    "header_lines": (4,),
}
NASTY = st.sampled_from(
    ["\r\n", "\r\n\r\n", "\r", "\n", "\n.\n", "\r\n.\r\n", "\0", ".", "Bcc: eve@example.org"]
)
VALUE = st.lists(
    st.one_of(NASTY, st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.just("x" * 1000)),
    max_size=4,
).map("".join)


def lines(text: str) -> str:
    """`text` with every line end as CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@pytest.mark.parametrize("kind", ["text", "markdown"])
@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@given(a=VALUE, b=VALUE, eight_bit=st.booleans())
@example(a="a\r\nBcc: eve@example.org", b="\r\n\r\n.\r\n", eight_bit=True)
@example(a="\r", b="\n", eight_bit=True)
@example(a=".", b=".", eight_bit=False)
def test_whatever_the_fields_hold_the_mail_is_what_was_meant(
    kind: str, logic: str, a: str, b: str, eight_bit: bool
) -> None:
    message = compiled(
        f"{{{{ a }}}}{{{{ b }}}}{logic}.\n.{{{{ a }}}}\n{{{{ b }}}}\n", ("a", "b"), kind=kind, **MAIL
    )
    mail = parsed(fill(message, (a, b), eight_bit=eight_bit))
    assert mail.keys() == HEADERS
    assert mail["subject"] == one_line(f"{a} and {b}")
    assert mail["x-own"] == one_line(f"own {a}")
    assert mail["to"] == "ada@example.com"
    a, b = lines(a), lines(b)
    assert body_of(mail) == f"{a}{b}.\r\n.{a}\r\n{b}\r\n"
    if kind == "markdown":
        assert body_of(mail, "html").endswith("</html>\r\n")
        assert len(list(mail.iter_parts())) == 2


@given(address=st.text(max_size=30))
@example(address="a@example.org\r\nBcc: eve@example.org")
@example(address="grün@example.org")
def test_an_address_that_a_header_cannot_hold_is_refused_without_naming_it(address: str) -> None:
    message = compiled("Hello\n")
    if not address.isprintable():
        with pytest.raises(
            FillError, match=r"^The address of a recipient has characters that a mail's header"
        ):
            fill(message, address=address)
    else:
        filled = fill(message, address=address)
        assert received(filled.data).split(b"\r\n")[1] == f"To: {address}".encode()


def test_half_a_character_is_refused_without_naming_it() -> None:
    for body in ("{{ a }}", "{{ '\\ud800' ~ a }}"):
        with pytest.raises(FillError, match="UTF-8 cannot hold") as refused:
            fill(compiled(body, ("a",)), ("secret\ud800" if body == "{{ a }}" else "secret",))
        assert refused.value.__context__ is None
        assert "secret" not in str(refused.value)


def test_a_whole_mail_looks_like_this() -> None:
    message = compiled("Hello {{ a }},\n.\nbye\n", ("a", "b"), **MAIL)
    filled = fill(message, ("Ada", "Bob"))
    assert filled.data.decode().split("\r\n") == [
        "From: News <news@example.org>",
        "To: ada@example.com",
        "Subject: Ada and Bob",
        f"Date: {DATE}",
        f"Message-ID: {MESSAGE_ID}",
        "Reply-To: =?utf-8?b?R3LDvG4=?=",
        " <a@example.org>,",
        " b@example.org",
        "MIME-Version: 1.0",
        "X-Own: own Ada",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hello Ada,",
        "..",
        "bye",
        ".",
        "",
    ]
    assert filled.size == len(filled.data) - len(".") - len(".\r\n")


def test_the_same_recipient_gets_the_same_octets() -> None:
    source = source_of("Hello {{ a }}", kind="markdown")
    first, second = (fill(compile_message(source, ("a",)), ("Ada",)) for _ in range(2))
    assert first == second


def test_email_is_the_address_and_the_fields_keep_their_order() -> None:
    mail = parsed(fill(compiled("{{ email }} {{ b }} {{ a }}", ("a", "b")), ("1", "2")))
    assert body_of(mail) == "ada@example.com 2 1\r\n"


def test_an_own_header_that_comes_out_empty_is_left_out() -> None:
    message = compiled("Hello", ("a",), headers=(("X-Own", " {{ a }} "),), header_lines=(4,))
    for nothing in ("", " ", "\r\n\t"):
        assert "X-Own" not in parsed(fill(message, (nothing,)))
    assert parsed(fill(message, ("1",)))["X-Own"] == "1"


def test_a_subject_that_comes_out_empty_is_an_empty_subject() -> None:
    assert parsed(fill(compiled("Hello", ("a",), subject="{{ a }}"), ("",)))["subject"] == ""


@pytest.mark.parametrize(
    ("kind", "body", "eight_bit", "encodings"),
    [
        ("text", "Hello", True, ["7bit"]),
        ("text", "Grüße an alle im Garten", True, ["8bit"]),
        ("text", "Grüße an alle im Garten", False, ["quoted-printable"]),
        ("markdown", "Hello", True, ["7bit", "7bit", "7bit"]),
        ("markdown", "Grüße", True, ["8bit", "8bit", "8bit"]),
        ("markdown", "Grüße an alle im Garten", False, ["7bit", "quoted-printable", "quoted-printable"]),
    ],
)
def test_parts_and_whole_say_how_they_are_encoded(
    kind: str, body: str, eight_bit: bool, encodings: list[str]
) -> None:
    mail = parsed(fill(compiled(body, kind=kind), eight_bit=eight_bit))
    assert [part["content-transfer-encoding"] for part in mail.walk()] == encodings
    assert {part.get_content_charset() for part in mail.walk() if not part.is_multipart()} == {"utf-8"}


def test_a_body_that_holds_the_boundary_gets_another_boundary() -> None:
    message = compiled("{{ a }}", ("a",), kind="markdown")
    usual = parsed(fill(message, ("x",))).get_boundary()
    assert usual is not None
    for text in (f"--{usual}--", f"--{usual}\n\n--{usual}.1"):
        mail = parsed(fill(message, (text,)))
        assert mail.get_boundary() not in (None, usual)
        assert body_of(mail) == lines(text) + "\r\n"
        assert len(list(mail.iter_parts())) == 2


def test_a_date_is_written_as_mails_have_it() -> None:
    assert rfc5322_date(datetime(2031, 4, 1, 9, tzinfo=UTC)) == DATE


def test_the_example_fills_for_everyone() -> None:
    folder = Path(__file__).parents[2] / "examples"
    rows = [line.split(",") for line in (folder / "emails.csv").read_text().splitlines()[1:]]
    message = compile_message(read_message(folder / "message.md"), ("first_name", "city"), "emails.csv")
    assert len(rows) == 10
    for address, *fields in rows:
        mail = parsed(fill(message, fields, address=address))
        assert mail["subject"] == f"{fields[0]}, the garden club meets in {fields[1]}"
        assert f"<strong>{fields[0]}</strong>" in body_of(mail, "html")

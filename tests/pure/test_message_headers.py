"""Headers: whatever stands in a value stays in it, and comes back as it was."""

from __future__ import annotations

import re
from base64 import b64decode
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchmail.message.headers import header, one_line
from batchmail.message.mailboxes import read_mailbox, read_mailboxes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(name=st.sampled_from(["Subject", "X-A", "X-" + "long-" * 14]), text=TEXT)
@example(name="Subject", text="=?utf-8?q?Hello?=")
@example(name="Subject", text="x" * 2000)
@example(name="Subject", text="word " * 400)
@example(name="Subject", text="a: " * 400)
@example(name="X-A", text="x" * 993)
@example(name="X-A", text="x" * 994)
@example(name="Subject", text="a" + " " * 200 + "b")
@example(name="Subject", text="ü" * 500)
@example(name="Subject", text="a\r\nBcc: eve@example.org\r\n\r\nbody")
def test_a_header_comes_back_as_one_line_of_its_text(name: str, text: str) -> None:
    lines = header(name, text)
    assert lines.isascii()
    first, *rest = lines.split("\r\n")
    assert first.startswith(f"{name}: ")
    for line in rest:
        assert line.startswith(" ")
        assert line.strip(" "), "an empty line, or one that looks like it, would end the head"
    for line in (first, *rest):
        assert not re.search(r"[\x00-\x1f\x7f]", line)
        assert len(line) <= 998
    mail = message_from_bytes(f"{lines}\r\n\r\n".encode(), policy=default)
    assert mail.keys() == [name]
    assert mail[name] == one_line(text)


def test_long_lines_are_folded_at_spaces() -> None:
    lines = header("Subject", "lorem ipsum: " * 20).split("\r\n")
    assert len(lines) == 4
    assert all(len(line) <= 78 for line in lines)


def test_what_is_not_ascii_is_encoded_within_76_columns_and_whole_characters() -> None:
    lines = header("Subject", "Grüße aus 大阪 " * 20).split("\r\n")
    assert all(len(line) <= 76 for line in lines)
    for line in lines:
        word = line.removeprefix("Subject:").strip()
        assert b64decode(word.removeprefix("=?utf-8?b?").removesuffix("?=")).decode()


def test_a_short_plain_header_stays_as_it_is() -> None:
    assert header("Subject", "Hello? =?, 50 % off") == "Subject: Hello? =?, 50 % off"


def test_line_ends_and_control_characters_become_one_space() -> None:
    assert one_line("\r\n a\r\n\tb\0\x85c\u2028d\n") == "a b c d"


@pytest.mark.parametrize(
    ("written", "in_header"),
    [
        ("news@example.org", "news@example.org"),
        ("<news@example.org>", "news@example.org"),
        ("Garden Club <news@example.org>", "Garden Club <news@example.org>"),
        ('"Club, Garden" <news@example.org>', '"Club, Garden" <news@example.org>'),
        ("Dr. Ada <news@example.org>", '"Dr. Ada" <news@example.org>'),
        ('"a\\"b\\\\c" <news@example.org>', '"a\\"b\\\\c" <news@example.org>'),
        ("Grüne <news@example.org>", "=?utf-8?b?R3LDvG5l?=\r\n <news@example.org>"),
        ("A <news@Bücher.example>", "A <news@xn--bcher-kva.example>"),
    ],
)
def test_a_sender_stands_in_its_header_as_the_rules_want_it(written: str, in_header: str) -> None:
    assert str(read_mailbox(written)) == in_header


@given(name=TEXT)
def test_a_senders_name_comes_back_as_it_was(name: str) -> None:
    quoted = one_line(name).replace("\\", "\\\\").replace('"', '\\"')
    try:
        mailbox = read_mailbox(f'"{quoted}" <news@example.org>')
    except ValueError:
        return
    raw = f"From: {mailbox}\r\n\r\n".encode("ascii")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    mail = message_from_bytes(raw, policy=default)
    assert mail.keys() == ["From"]
    (address,) = mail["from"].addresses
    assert address.addr_spec == "news@example.org"
    # Not address.display_name: that parser puts spaces between encoded words (RFC 2047 6.2 says none).
    shown = str(mailbox).rpartition("<")[0].strip() if mailbox.name else ""
    if not shown.startswith('"'):
        assert str(make_header(decode_header(shown))) == mailbox.name
    else:
        assert address.display_name == mailbox.name


@given(TEXT)
def test_no_text_makes_reading_a_sender_crash(text: str) -> None:
    try:
        found = read_mailboxes(text)
    except ValueError:
        return
    assert all(each.address.isascii() for each in found)

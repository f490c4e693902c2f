"""A message file becomes a source, or one sentence says what is wrong with it and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchmail.errors import MessageError, MissingObjectError
from batchmail.message.source import MessageSource, find_message, load_message, read_message, save_message
from batchmail.store import Store
from tests.pure.mails import read, source_of, written

FULL = """\
---
subject: "Hello {{ first_name }}"
from: Garden Club <club@example.org>
reply-to: a@example.org, b@example.org
headers:
  X-Campaign: spring
  List-Unsubscribe: <mailto:leave@example.org>
---

Dear {{ first_name }},
come.
"""


def test_head_and_body_are_read_with_their_lines(tmp_path: Path) -> None:
    source = read(tmp_path, FULL)
    assert source == MessageSource(
        format="markdown",
        sender="Garden Club <club@example.org>",
        subject="Hello {{ first_name }}",
        reply_to="a@example.org, b@example.org",
        headers=(("X-Campaign", "spring"), ("List-Unsubscribe", "<mailto:leave@example.org>")),
        body="Dear {{ first_name }},\ncome.\n",
        name="message.md",
        body_line=10,
        subject_line=2,
        header_lines=(6, 7),
    )
    assert source.envelope_sender == "club@example.org"


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(
    tmp_path: Path, bom: bytes, line_end: str
) -> None:
    content = bom + FULL.replace("\n", line_end).encode()
    assert read(tmp_path, content) == read(tmp_path, FULL)


def test_a_file_without_a_head_is_all_body(tmp_path: Path) -> None:
    path = written(tmp_path, "Hello\n---\nworld\n", "message.txt")
    source = read_message(path, subject="Hi", sender="a@example.org")
    assert (source.format, source.body, source.body_line) == ("text", "Hello\n---\nworld\n", 1)


def test_an_option_comes_before_the_file_and_the_file_before_the_setting(tmp_path: Path) -> None:
    path = written(tmp_path, "---\nsubject: file\nfrom: file@example.org\n---\nHello\n")
    source = read_message(path, default_sender="setting@example.org")
    assert (source.subject, source.sender) == ("file", "file@example.org")
    source = read_message(path, subject="option", sender="option@example.org", default_sender="x@example.org")
    assert (source.subject, source.sender) == ("option", "option@example.org")
    assert read(tmp_path, "---\nsubject: file\n---\nHello\n").sender == "default@example.org"


@pytest.mark.parametrize("value", ["2031", "Yes", "2031-04-01", "~x", "1.50"])
def test_a_subject_that_yaml_takes_for_something_else_is_text_as_written(tmp_path: Path, value: str) -> None:
    assert read(tmp_path, f"---\nsubject: {value}\n---\nHello\n").subject == value


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("subjct: x", "message.md, line 2: 'subjct' is not known here (did you mean 'subject'?)"),
        (
            "subject: x\nReply_To: a@example.org",
            "line 3: 'Reply_To' is not known here (did you mean 'reply-to'?)",
        ),
        ("subject: Hello: world", "message.md, line 2: this is no YAML"),
        ("from: a@example.org\nsubject: {{ name }}, hello", "message.md, line 3: this is no YAML"),
        ("subject: {{ name }}", "line 2: 'subject' must be one text; a value with ':', '{'"),
        ("subject:\n  - x", "line 3: 'subject' must be one text"),
        ("subject: x\nsubject: y", "line 3: 'subject' is there twice"),
        ("- subject", "line 2: the head of the message must consist of lines 'name: value'"),
        ("subject: a\x07b", "line 2: a control character cannot stand here"),
        ("? [a]\n: b", "line 2: a name is plain text"),
        ("subject: &a x\nfrom: *b", "line 3: this is no YAML"),
        ("subject: " + "[" * 2000, "message.md"),
        ("subject: x\nfrom: nobody", "line 3: 'from' 'nobody' cannot be used: it is no address"),
        ("subject: x\nfrom: a@example.org, b@example.org", "it holds 2 addresses, and a mail has one sender"),
        ("subject: x\nfrom: News, Garden <a@example.org>", "a name with a comma stands in double quotes"),
        ('subject: x\nfrom: "a@example.org\\r\\nBcc: b@example.org"', "it must be a single line"),
        ("subject: x\nfrom: 'Friends: a@example.org;, b@exa mple.org'", "'from'"),
        ("subject: x\nfrom: grün@example.org", "plain ASCII"),
        ("subject: x\nreply-to: nobody", "line 3: 'reply-to' 'nobody' cannot be used"),
        ("subject: x\nheaders: y", "line 3: 'headers' must consist of lines"),
        ("subject: x\nheaders:\n  X-A:\n    b: c", "line 5: 'X-A' must be one text"),
        ("subject: x\nheaders:\n  x-a: 1\n  X-A: 2", "line 5: the header 'X-A' is there twice"),
        ("subject: x\nheaders:\n  'X A': 1", "line 4: the header 'X A' is no header name"),
        ("subject: x\nheaders:\n  'X:A': 1", "line 4: the header 'X:A' is no header name"),
        ("subject: x\nheaders:\n  'Ü': 1", "line 4: the header 'Ü' is no header name"),
        ('subject: x\nheaders:\n  ? "X\\r\\nBcc"\n  : 1', "is no header name"),
        (
            "subject: x\nheaders:\n  Subject: 1",
            "has a place of its own: write 'subject:' outside of 'headers'",
        ),
        ("from: a@example.org", "message.md: the message has no subject"),
        ("subject:", "message.md: the message has no subject"),
        ("subject: '  '", "message.md: the message has no subject"),
        (
            'subject: "a\\r\\nBcc: b@example.org"',
            r"message.md, line 2: 'subject' 'a\r\nBcc: b@example.org' cannot be used: it must be a single",
        ),
        ("subject: |\n  a\n  b", r"message.md, line 3: 'subject' 'a\nb' cannot be used"),
    ],
)
def test_a_bad_head_is_refused_with_its_line(tmp_path: Path, head: str, says: str) -> None:
    with pytest.raises(MessageError) as refused:
        read(tmp_path, f"---\n{head}\n---\nHello\n")
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


RESERVED = "To cc BCC Date Message-ID MIME-Version Content-Type content-language Sender Return-Path Received"
RESERVED += " DKIM-Signature Resent-To ARC-Seal"


@pytest.mark.parametrize("name", RESERVED.split())
def test_headers_that_the_program_or_the_relay_makes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MessageError, match="leave it out"):
        read(tmp_path, f"---\nsubject: x\nheaders:\n  {name}: y\n---\nHello\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("---\nsubject: x\nHello", "message.md, line 1: '---' opens the head of the message, and no second"),
        ("---\nsubject: x\n---\n \n\n", "message.md: the message has no text"),
        ("", "message.md: the message has no text"),
        (b"---\nsubject: x\n---\nGr\xfc\xdfe", "message.md, line 4: this is not UTF-8"),
        ("---\nsubject: x\n---\nHello\n".encode("utf-16"), "this is not a text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "this is not a text in UTF-8"),
        (b"x" * 10_000_001, "is larger than 10 MB"),
    ],
)
def test_a_file_that_is_no_message_is_refused(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(MessageError) as refused:
        read(tmp_path, content)
    assert says in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match=r"missing\.md cannot be read: No such file"):
        read_message(tmp_path / "missing.md")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(MessageError, match=r"folder\.md cannot be read: Is a directory"):
        read_message(tmp_path / "folder.md")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match=r"letter\.docx: a message is a \.md or a \.txt file"):
        read(tmp_path, "Hello", "letter.docx")


def test_a_message_without_any_sender_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match="give --from or set MAIL_FROM"):
        read_message(written(tmp_path, "Hello"), subject="x")


@pytest.mark.parametrize(
    ("option", "default", "name"), [("nobody", None, "--from"), (None, "nobody", "MAIL_FROM")]
)
def test_a_bad_sender_is_blamed_on_where_it_comes_from(
    tmp_path: Path, option: str | None, default: str | None, name: str
) -> None:
    with pytest.raises(MessageError, match=f"^{name} 'nobody' cannot be used"):
        read_message(written(tmp_path, "Hello"), subject="x", sender=option, default_sender=default)


def test_a_subject_over_several_lines_begins_on_the_line_after_its_mark(tmp_path: Path) -> None:
    source = read(tmp_path, "---\nsubject: >\n  Hello\n  world\n---\nHello\n")
    assert (source.subject, source.subject_line) == ("Hello world", 3)
    source = read(tmp_path, "---\nsubject: >\n  Hello\n  world\nreply-to: a@example.org\n---\nHello\n")
    assert source.subject.strip() == "Hello world"


def test_an_option_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "Hello")
    with pytest.raises(MessageError, match="--subject: the value is not UTF-8"):
        read_message(path, subject="a\udcfc", sender="a@example.org")
    with pytest.raises(MessageError, match="--from: the value is not UTF-8"):
        read_message(path, subject="a", sender="a\udcfc <a@example.org>")


def test_an_international_domain_is_encoded_for_the_envelope() -> None:
    source = source_of("Hello", sender="Bücher <news@bücher.example>")
    assert source.envelope_sender == "news@xn--bcher-kva.example"


@pytest.mark.parametrize("address", ["a@localhost", "a@relay.local", "a@shop.test"])
def test_special_use_domains_are_the_relays_to_know(address: str) -> None:
    assert source_of("Hello", sender=address).envelope_sender == address


def test_the_message_beside_the_list_is_found(tmp_path: Path) -> None:
    expected = written(tmp_path, "Hello", "message.txt")
    assert find_message(tmp_path / "list.csv") == expected


def test_no_message_beside_the_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match="write one, or name one with --message"):
        find_message(tmp_path / "list.csv")


def test_two_messages_beside_the_list_are_refused(tmp_path: Path) -> None:
    written(tmp_path, "Hello", "message.txt")
    written(tmp_path, "Hello", "message.md")
    with pytest.raises(MessageError, match="name the one to mail with --message"):
        find_message(tmp_path / "list.csv")


def test_the_id_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    source = read(tmp_path, FULL)
    moved = read(tmp_path, FULL.replace("\n\nDear", "\n\n\n\nDear"), "other.md")
    assert moved.id == source.id
    assert len(source.id) == 32
    changes = {
        "format": "text",
        "sender": "a@example.org",
        "subject": "x",
        "reply_to": None,
        "headers": source.headers[:1],
        "body": "x",
    }
    others = [source.model_copy(update={key: value}).id for key, value in changes.items()]
    assert len({source.id, *others}) == 1 + len(changes)


async def test_a_message_comes_back_from_the_store_as_it_was(tmp_path: Path) -> None:
    store, source = Store(tmp_path / "store"), read(tmp_path, FULL)
    await save_message(store, source)
    await save_message(store, source)
    assert await load_message(store, source.id) == source


async def test_a_message_the_store_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingObjectError, match="messages/abc"):
        await load_message(Store(tmp_path), "abc")


async def test_a_message_of_another_version_is_refused(tmp_path: Path) -> None:
    store, source = Store(tmp_path), source_of("Hello")
    text = source.model_dump_json().replace('"version":1', '"version":2')
    await store.put(f"messages/{source.id}", text.encode())
    with pytest.raises(MessageError, match="is not a message this version can read"):
        await load_message(store, source.id)

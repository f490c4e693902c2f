"""Messages as nobody should write them, filled with fields as nobody should: refused in one sentence, or
a mail whose headers are the ones expected and whose octets no relay can misread."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.recipients import Recipient
from batchmail.errors import FillError, MessageError
from batchmail.message.compiled import CompiledMessage, compile_message
from batchmail.message.source import MessageSource, read_message
from tests.pure.mails import DATE, MESSAGE_ID, body_of, compiled, fill, parsed, written

pytestmark = pytest.mark.fuzz

FIELDS = ("a", "b")
OURS = ["From", "To", "Subject", "Date", "Message-ID"]
MIME = ["MIME-Version"]
PART = ["Content-Type", "Content-Transfer-Encoding"]

VALUES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    "\r\n",
                    "\r",
                    "\n",
                    "\n.\n",
                    "\r\n.\r\n",
                    ".",
                    "\0",
                    "\x1b[2J",
                    "\u2028",
                    "\x85",
                    "\ufeff",
                    "\u202e",
                ),
                *(
                    "Bcc: eve@example.org",
                    "\r\nBcc: eve@example.org\r\n\r\n",
                    "--=_",
                    "=?utf-8?q?x?=",
                    "x" * 1200,
                ),
                *(
                    "{{ 7 * 7 }}",
                    "{% for i in range(9) %}",
                    "{{ b }}",
                    "{#",
                    "%s",
                    "${x}",
                    "{0}",
                    "**x** [y](z)",
                ),
                *("<script>alert(1)</script>", "\"'>", "&amp;", "999999999", "-1", "1e9", ""),
            ]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    max_size=4,
).map("".join)

HEAD = st.sampled_from(
    [
        *(
            "subject: x",
            "subject: '{{ a }}'",
            "subject: {{ a }}",
            "subject: [",
            "subject: &x y",
            "subject: *x",
        ),
        *('subject: "\\uD800"', 'subject: "\\UFFFFFFFF"', 'subject: "a\\r\\nBcc: e@x.org"', 'subject: "\\0"'),
        *(
            "subject: |\n  a\n  b",
            "subject: !!binary x",
            "subject: !<%FF> y",
            "%YAML 9.9",
            "--- a",
            "...",
            "\t",
            "\x07",
        ),
        *(
            "from: a@example.org",
            "from: '\"{{ a }}\" <a@example.org>'",
            "from: a, b",
            'from: "a\\nb@x.org"',
            "from: <>",
        ),
        *("reply-to: a@x.org, b@x.org", "reply-to: ((((", "headers: {X-A: '{{ a }}', X-B: '{{ b|upper }}'}"),
        *(
            "headers:\n  Bcc: e@x.org",
            'headers: {"X\\r\\nBcc": y}',
            "headers: []",
            "headers: {X-A: 1, x-a: 2}",
        ),
        *(
            "a: &a [x, x]\nb: &b [*a, *a]",
            "? {",
            "<<: *a",
            "subject: " + "x" * 2000,
            "to: eve@x.org",
            "? " + "k" * 999,
        ),
    ]
)
BODY = st.sampled_from(
    [
        *(
            "{{ a }}",
            "{{ b }}",
            "{{- a -}}",
            "{{ c }}",
            "{{ a|upper }}",
            "{{ a|nope }}",
            "{{ a.b }}",
            "{{ a[0] }}",
        ),
        *(
            "{{ a.__class__.__mro__ }}",
            "{{ a|attr('__class__') }}",
            "{{ '{0.__class__}'.format(a) }}",
            "{{ self }}",
        ),
        *(
            "{{ a|center(b|int) }}",
            "{{ a * (b|int) }}",
            "{{ '%' ~ b ~ 'd' }}",
            "{{ a.ljust(b|int) }}",
            "{{ a ~ b }}",
        ),
        *(
            "{% for i in range(b|int) %}",
            "{% for x in a %}",
            "{% endfor %}",
            "{% if a %}",
            "{% endif %}",
            "{% else %}",
        ),
        *(
            "{% raw %}",
            "{% endraw %}",
            "{#",
            "#}",
            "{{",
            "}}",
            "{%",
            "%}",
            "{% include a %}",
            "{% set a = b %}",
            "{% do %}",
        ),
        *(
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% block x %}{% endblock %}",
            "{{ '\\ud800' }}",
            "{{ '\\0' }}",
        ),
        *(
            "{{ " + "9" * 5000 + " }}",
            "{% if a %}" * 101,
            "{% for x in a %}" * 21,
            "{{ " + "(" * 300 + " }}",
            "'",
            '"',
        ),
        *(
            "[",
            "](",
            "![",
            ">" * 50,
            "- " * 30,
            "`",
            "```\n",
            "*",
            "_",
            "<",
            "<a href='",
            "&#x",
            "| a |\n|-|\n|",
            "\\",
        ),
        *(
            "\n",
            "\n\n",
            "\n.\n",
            ".",
            " ",
            "ü",
            "大",
            "\u2028",
            "x" * 1200,
            "word " * 50,
            "# ",
            "[x]: y\n",
            "---\n",
        ),
    ]
)
BODIES = st.lists(BODY, max_size=8).map("".join)
FILES = st.one_of(
    st.builds(
        lambda head, body: "---\n" + "".join(f"{line}\n" for line in head) + "---\n" + body,
        st.lists(HEAD, max_size=4),
        BODIES,
    ).map(str.encode),
    BODIES.map(
        lambda body: f"---\nsubject: x {{{{ a }}}}\nheaders: {{X-A: '{{{{ a }}}}'}}\n---\n{body}".encode()
    ),
    st.builds(
        lambda body, coding: f"---\nsubject: ä\n---\n{body}".encode(coding, errors="replace"),
        BODIES,
        st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "latin-1", "shift-jis", "utf-7"]),
    ),
    st.binary(max_size=100),
)


class Refused(Exception):
    """The file is no message, or the message cannot be filled."""


@contextmanager
def in_one_sentence(kind: type[Exception], *unsaid: str) -> Iterator[None]:
    """What is refused is so in one short sentence, which repeats none of `unsaid`."""
    said = ""
    try:
        yield
    except kind as error:
        said = str(error)
    if said:
        assert re.fullmatch(r"[^\r\n\0]{1,999}\.", said), said
        assert not any(len(value) > 9 and value in said for value in unsaid)
        raise Refused


def message_in(content: bytes, suffix: str) -> CompiledMessage:
    """What comes of a file, as a worker gets it: through the store's text."""
    with tempfile.TemporaryDirectory() as folder, in_one_sentence(MessageError):
        path = written(Path(folder), content, f"message{suffix}")
        source = read_message(path, default_sender="News <news@example.org>")
        kept = MessageSource.model_validate_json(source.model_dump_json())
        assert kept == source
        return compile_message(kept, FIELDS)
    raise AssertionError("not reached")


@given(content=FILES, suffix=st.sampled_from([".txt", ".md"]), a=VALUES, b=VALUES, eight_bit=st.booleans())
def test_any_message_is_refused_in_one_sentence_or_fills_to_a_mail_that_is_whole(
    content: bytes, suffix: str, a: str, b: str, eight_bit: bool
) -> None:
    try:
        message = message_in(content, suffix)
        with in_one_sentence(FillError, a, b):
            filled = message.fill(Recipient(2, "ada@example.com", (a, b)), MESSAGE_ID, DATE, eight_bit)
    except Refused:
        return
    mail = parsed(filled)
    own = [name for name in mail if name in ("Reply-To", "X-A", "X-B")]
    assert [name for name in mail if name not in own] == OURS + MIME + PART
    assert len(own) == len(set(own))
    assert mail["to"] == "ada@example.com"
    assert mail["from"].addresses[0].addr_spec in ("news@example.org", "a@example.org")
    assert mail["message-id"] == MESSAGE_ID
    for part in list(mail.walk())[1:]:
        assert list(part.keys()) == PART


@pytest.mark.parametrize("logic", ["", "{% if true %}{% endif %}"])
@given(a=VALUES, b=VALUES)
def test_a_field_is_text_and_never_a_template(logic: str, a: str, b: str) -> None:
    mail = parsed(fill(compiled(f"{{{{ a }}}}|{{{{ b }}}}{logic}", FIELDS, subject="{{ a }}"), (a, b)))
    said = f"{a}|{b}".replace("\r\n", "\n").replace("\r", "\n")
    assert body_of(mail).replace("\r\n", "\n").rstrip("\n") == said.rstrip("\n")


@given(a=VALUES)
def test_a_field_is_text_and_never_markdown_or_html(a: str) -> None:
    html = body_of(
        parsed(fill(compiled("<b title='{{ a }}'>{{ a }}</b>", ("a",), kind="markdown"), (a,))), "html"
    )
    inside = re.search(r"<p><b title='(.*)'>(.*)</b></p>", html, re.DOTALL)
    assert inside is not None
    for shown in inside.groups():
        assert not set(shown) & set("<>\"'")
        assert "<strong>" not in shown


@given(a=VALUES)
def test_no_address_of_a_list_can_add_a_header(a: str) -> None:
    """Lists refuse such addresses; were one to come from elsewhere, the mail is not made."""
    message = compiled("x")
    try:
        with in_one_sentence(FillError, a):
            filled = message.fill(Recipient(2, f"ada{a}@example.com", ()), MESSAGE_ID, DATE, True)
    except Refused:
        return
    assert a.isprintable()
    head = filled.data.partition(b"\r\n\r\n")[0].decode()
    assert [line.partition(":")[0] for line in head.split("\r\n")] == OURS + MIME + PART

"""A body's octets: as they are where the relay takes them, encoded where it does not, exact in any case."""

from __future__ import annotations

from base64 import b64decode
from quopri import decodestring

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchmail.message.encoding import Encoded, Transfer, crlf, dot_stuffed, encode_body

LINES = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=120),
        st.sampled_from(
            [".", "..", ".x", " ", "\t", "x ", "=", "=2E", "From x", "x" * 998, "x" * 999, "ü" * 500]
        ),
    ),
    max_size=12,
)


def decoded(encoded: Encoded) -> bytes:
    if encoded.transfer is Transfer.BASE64:
        return b64decode(encoded.data)
    if encoded.transfer is Transfer.QUOTED_PRINTABLE:
        return decodestring(encoded.data)
    return encoded.data


@given(lines=LINES, eight_bit=st.booleans())
@example(lines=["a\0b"], eight_bit=True)
@example(lines=["x" * 75 + "."], eight_bit=False)
@example(lines=["ü", ".", "x"], eight_bit=False)
def test_a_body_comes_back_octet_by_octet(lines: list[str], eight_bit: bool) -> None:
    text = "\r\n".join([*lines, ""])
    encoded = encode_body(text or "\r\n", eight_bit)
    assert decoded(encoded) == (text or "\r\n").encode()
    assert encoded.data.endswith(b"\r\n")
    longest = 998 if encoded.transfer in (Transfer.SEVEN_BIT, Transfer.EIGHT_BIT) else 76
    assert all(len(line) <= longest for line in encoded.data.split(b"\r\n"))
    assert b"\0" not in encoded.data
    assert encoded.data.replace(b"\r\n", b"").translate(None, b"\r\n") == encoded.data.replace(b"\r\n", b"")
    if encoded.transfer is not Transfer.EIGHT_BIT:
        assert encoded.data.isascii()


@pytest.mark.parametrize(
    ("text", "eight_bit", "transfer"),
    [
        ("plain\r\n", True, Transfer.SEVEN_BIT),
        ("plain\r\n", False, Transfer.SEVEN_BIT),
        ("Grüße an alle im Garten\r\n", True, Transfer.EIGHT_BIT),
        ("Grüße an alle im Garten\r\n", False, Transfer.QUOTED_PRINTABLE),
        ("x" * 998 + "\r\n", False, Transfer.SEVEN_BIT),
        ("x" * 999 + "\r\n", True, Transfer.QUOTED_PRINTABLE),
        (("x" * 998 + "\r\n") * 3, False, Transfer.SEVEN_BIT),
        ("ok\r\n" * 300 + "x" * 999 + "\r\n", True, Transfer.QUOTED_PRINTABLE),
        ("nul \0\r\n", True, Transfer.QUOTED_PRINTABLE),
        ("大阪大阪大阪\r\n", False, Transfer.BASE64),
        ("大阪大阪大阪\r\n", True, Transfer.EIGHT_BIT),
    ],
)
def test_a_body_is_encoded_only_where_it_must_be(text: str, eight_bit: bool, transfer: Transfer) -> None:
    assert encode_body(text, eight_bit).transfer is transfer


def test_a_body_without_a_last_line_end_gets_one() -> None:
    assert encode_body("x", True).data == b"x\r\n"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb"])
def test_every_line_end_becomes_crlf(text: str) -> None:
    assert crlf(text) == "a\r\nb"


@pytest.mark.parametrize(
    ("mail", "stuffed"),
    [
        (b"x\r\n", b"x\r\n.\r\n"),
        (b".x\r\n", b"..x\r\n.\r\n"),
        (b"x\r\n.\r\ny\r\n", b"x\r\n..\r\ny\r\n.\r\n"),
        (b"x\r\n.\r\n.\r\n", b"x\r\n..\r\n..\r\n.\r\n"),
        (b"x.\r\n", b"x.\r\n.\r\n"),
    ],
)
def test_a_line_that_begins_with_a_dot_gets_another(mail: bytes, stuffed: bytes) -> None:
    assert dot_stuffed(mail) == stuffed

"""The answers that a session takes whole are those that the parser would take apart to the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.relay.replies import ProtocolViolation, ReplyParser
from batchmail.relay.session import _ENVELOPE_TAKEN, _MAIL_TAKEN

LINES = st.builds(
    lambda code, between, text, end: code + between + text + end,
    st.sampled_from([b"250", b"251", b"354", b"334", b"450", b"550", b"421", b"25", b"2500"]),
    st.sampled_from([b" ", b"-", b""]),
    st.sampled_from([b"Ok", b"2.1.0 Ok", b"", b"\xff\x00", b"5.1.1 no", b"x" * 600, b"a\rb"]),
    st.sampled_from([b"\r\n", b"\n", b"\r", b""]),
)


@pytest.mark.fuzz
@given(st.lists(LINES, max_size=4).map(b"".join))
def test_what_is_taken_whole_is_what_the_parser_reads(data: bytes) -> None:
    try:
        classes = [reply.code // 100 for reply in ReplyParser().feed(data)]
    except ProtocolViolation:
        classes = []
    if _ENVELOPE_TAKEN.fullmatch(data):
        assert classes == [2, 2, 3]
    if _MAIL_TAKEN.fullmatch(data):
        assert classes == [2]


def test_what_nearly_every_relay_says_is_taken_whole() -> None:
    assert _ENVELOPE_TAKEN.fullmatch(
        b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
    )
    assert _MAIL_TAKEN.fullmatch(b"250 2.0.0 Ok: queued as 4XyZ\r\n")

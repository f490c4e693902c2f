"""Replies are read alike however their bytes arrive, and nothing a relay sends takes unbounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.relay.replies import (
    LONGEST_LINE,
    MOST_LINES,
    MOST_WORDS,
    ProtocolViolation,
    Reply,
    ReplyParser,
)

WORDS = st.binary(max_size=40).map(lambda words: words.replace(b"\n", b"").replace(b"\r", b""))
ENDS = st.sampled_from([b"\r\n", b"\n"])


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """One well-formed reply of one line or several."""
    code = b"%d" % draw(st.integers(200, 599))
    subject = draw(st.sampled_from([b"", b"2.1.5 ", b"4.7.1 ", b"5.1.10 "]))
    lines = draw(st.lists(WORDS, min_size=1, max_size=4))
    marks = [b"-"] * (len(lines) - 1) + [b" "]
    return b"".join(
        code + mark + subject + words + draw(ENDS) for mark, words in zip(marks, lines, strict=True)
    )


@pytest.mark.fuzz
@given(st.lists(replies(), min_size=1, max_size=5), st.data())
def test_any_split_of_the_stream_gives_the_same_replies(stream: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    parser = ReplyParser()
    found = [
        reply
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        for reply in parser.feed(whole[start:end])
    ]
    assert found == ReplyParser().feed(whole)
    assert len(found) == len(stream)
    assert not parser.unfinished


@pytest.mark.fuzz
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_garbage_is_a_violation_or_replies_and_nothing_else(chunks: list[bytes]) -> None:
    parser = ReplyParser()
    try:
        found = [reply for chunk in chunks for reply in parser.feed(chunk)]
    except ProtocolViolation:
        return
    assert all(200 <= reply.code < 600 for reply in found)


def read(data: bytes) -> list[Reply]:
    return ReplyParser().feed(data)


def test_a_pipelined_group_is_read_at_once() -> None:
    assert read(b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data\r\n") == [
        Reply(250, "2.1.0", b"Ok"),
        Reply(250, "2.1.5", b"Ok"),
        Reply(354, "", b"End data"),
    ]


def test_the_lines_of_a_reply_become_one_reply() -> None:
    assert read(b"550-5.1.1 No\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n") == [
        Reply(550, "5.1.1", b"No\nsuch\nuser")
    ]


def test_the_enhanced_code_is_found_though_the_last_line_lacks_it() -> None:
    assert read(b"550-5.1.1 No such user\r\n550 see our page\r\n")[0].enhanced == "5.1.1"


def test_lines_that_disagree_are_read_by_the_last() -> None:
    assert read(b"450-4.2.1 Later\r\n451 No\r\n") == [Reply(451, "", b"Later\nNo")]


@pytest.mark.parametrize(
    "lines", [b"250-2.1.5 Ok\r\n550 No\r\n", b"550-5.1.1 No\r\n250 Ok\r\n", b"450-\r\n550\r\n"]
)
def test_lines_that_contradict_one_another_are_a_violation(lines: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="contradict"):
        read(lines)


@pytest.mark.parametrize("line", [b"250\r\n", b"250 \r\n", b"250\n", b"250 2.0.0\r\n"])
def test_a_reply_needs_no_words(line: bytes) -> None:
    (reply,) = read(line)
    assert (reply.code, reply.text) == (250, b"")


@pytest.mark.parametrize(
    "words", [b"4.7.1 No", b"5.1.1No", b"5.1 No", b"5.1.1.1 No", b"5.1.1111 No", b"No 5.1.1"]
)
def test_what_does_not_fit_is_no_enhanced_code(words: bytes) -> None:
    (reply,) = read(b"550 " + words + b"\r\n")
    assert (reply.code, reply.enhanced) == (550, "")


@pytest.mark.parametrize(
    "line",
    [b"hello", b"", b"25 ok", b"2500 ok", b"150 ok", b"650 ok", b"25x ok", b"250+ok", b"HTTP/1.1 200 OK"],
)
def test_what_is_not_a_reply_is_a_violation(line: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        read(line + b"\r\n")


def test_the_replies_before_a_violation_hold() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        read(b"250 2.0.0 Ok\r\nnonsense\r\n")
    assert caught.value.replies == [Reply(250, "2.0.0", b"Ok")]


def test_a_line_without_end_is_a_violation() -> None:
    parser = ReplyParser()
    for _ in range(LONGEST_LINE):
        parser.feed(b"2")
    with pytest.raises(ProtocolViolation, match="longer"):
        parser.feed(b"2")


def test_a_long_line_is_a_violation_also_when_it_ends() -> None:
    with pytest.raises(ProtocolViolation, match="longer"):
        read(b"250 " + b"x" * LONGEST_LINE + b"\r\n")


def test_a_reply_without_end_is_a_violation() -> None:
    parser = ReplyParser()
    parser.feed(b"250-more\r\n" * (MOST_LINES - 1))
    with pytest.raises(ProtocolViolation, match="lines"):
        parser.feed(b"250-more\r\n")


def test_a_reply_of_the_most_lines_is_read() -> None:
    assert len(read(b"250-more\r\n" * (MOST_LINES - 1) + b"250 done\r\n")) == 1


def test_of_the_words_only_the_first_are_kept() -> None:
    (reply,) = read(b"550-" + b"x" * 900 + b"\r\n550 " + b"y" * 900 + b"\r\n")
    assert len(reply.text) == MOST_WORDS


@pytest.mark.parametrize("part", [b"2", b"250 ok", b"250-more\r\n", b"250-more\r\n250"])
def test_a_part_of_a_reply_is_unfinished(part: bytes) -> None:
    parser = ReplyParser()
    assert parser.feed(part) == []
    assert parser.unfinished

"""Lists as nobody should write them: read, or refused in one short sentence, and nothing in between."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.errors import ListError
from batchmail.lists.snapshot import read_recipients
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.store import Store
from tests.pure.csv_files import Read, csv_file, read

pytestmark = pytest.mark.fuzz

SENTENCE = re.compile(r"The list [^\n]{1,900}\.")

CELLS = st.sampled_from(
    [
        *("ann@x.org", "bob@x.org", "ANN@X.ORG", "Ann", "", " ", "=1+1", "@SUM(A1)", "-2+3", "0"),
        *("ann@x.org\r\nRCPT TO:<eve@x.org>", "ann@x.org>\r\nDATA", "ann@x.org\0", "ann\x1b[2J@x.org"),
        *(
            "\u202eann@x.org",
            "ann\u200b@x.org",
            "аnn@x.org",
            "ann@x\u3002org",
            "ann@пример.рф",
            "ann@x.org\u2028",
        ),
        *("{{ 7 * 7 }}", "{% for x in y %}", "${x}", "%s%n", "<script>", "\ufeff", "\ufeffemail", "e\u0301"),
        *("x" * 1000, "a" * 250 + "@x.org", "a@" + "x." * 200 + "org", '"', 'a"b', "'", "\\"),
    ]
)
TITLES = st.sampled_from(
    [
        *(
            "email",
            "Email",
            " email ",
            "e-mail",
            "name",
            "Name",
            "name",
            "",
            " ",
            "#",
            "class",
            "self",
            "loop",
        ),
        *(
            "{{ email }}",
            "{% raw %}",
            "\u202ename",
            "na\u0308me",
            "ﬁeld",
            "x" * 300,
            "ann@x.org",
            "2",
            "\x07",
        ),
    ]
)
DELIMITERS = st.sampled_from([",", ";", "\t", ",", "|", ", ", ",,"])
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n\r", "\x0b", "\u2028", ""])
QUOTED = st.builds(
    lambda cell, how: how % cell.replace("%", "%%"),
    CELLS.map(lambda cell: cell.replace('"', '""')),
    st.sampled_from(["%s", "%s", '"%s"', '"%s"', '"%s', '%s"', ' "%s"', '"%s" ', '"%s"x', '"%s\n"']),
)
ROWS = st.builds(
    lambda cells, delimiter, end: delimiter.join(cells) + end,
    st.lists(st.one_of(CELLS, QUOTED), max_size=6),
    DELIMITERS,
    ENDS,
)
HEADERS = st.builds(
    lambda titles, delimiter, end: delimiter.join(titles) + end,
    st.lists(TITLES, max_size=6),
    DELIMITERS,
    ENDS,
) | st.sampled_from(["email,a\n", "a;email;b\r\n", "email\r", "email\ta\n"])
TEXTS = st.builds(lambda header, rows: header + "".join(rows), HEADERS, st.lists(ROWS, max_size=8))
CODINGS = st.sampled_from(
    ["utf-8"] * 5
    + [
        "utf-8-sig",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-7",
        "latin-1",
        "cp1252",
        "shift-jis",
        "cp500",
    ]
)
FILES = st.one_of(
    TEXTS.map(str.encode),
    st.builds(lambda text, coding: text.encode(coding, errors="replace"), TEXTS, CODINGS),
    st.builds(
        lambda text, at, noise: (
            (data := text.encode())[: at % (len(data) + 1)] + noise + data[at % (len(data) + 1) :]
        ),
        TEXTS,
        st.integers(0, 500),
        st.sampled_from(
            [b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\r", b"\xc0\x80", b"\x1f\x8b"]
        )
        | st.binary(max_size=8),
    ),
    st.binary(max_size=200),
)


def read_or_refused(content: bytes) -> Read | None:
    refusal = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return read(csv_file(Path(folder), content))
        except ListError as error:
            refusal = str(error)
    assert SENTENCE.fullmatch(refusal)
    return None


@given(FILES)
def test_any_file_is_read_whole_or_refused_in_one_sentence(content: bytes) -> None:
    found = read_or_refused(content)
    if found is None:
        return
    assert all(name.isidentifier() for name in found.fields)
    assert len(set(found.fields)) == len(found.fields)
    for line, address, cells in found.recipients:
        assert line >= 2
        assert len(cells) == len(found.fields)
        assert "\0" not in "".join(cells)
        # What could end an SMTP command or a header, or show another address than it is.
        assert not any(unicodedata.category(character)[0] in "CZ" for character in address)
        assert not set(address) & set('<>"(),;:\\ ')
        assert address.count("@") == 1
        assert address.rpartition("@")[2].isascii()
    for line, reason in found.invalid:
        assert line >= 2
        assert reason.isprintable()
        assert len(reason) < 200


@given(
    st.lists(ROWS.filter(lambda row: '"' not in row), max_size=4),
    st.lists(ROWS.filter(lambda row: '"' not in row), max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_bad_row_costs_no_other_row_its_mail(before: list[str], after: list[str], end: str) -> None:
    """Whoever stands in a row of the list's own shape is a recipient, whatever stands around it."""
    content = f"email,a{end}{''.join(before)}{end}good@x.org,1{end}{''.join(after)}"
    found = read_or_refused(content.encode())
    assert found is not None, "without quotation marks nothing swallows other rows"
    assert "good@x.org" in found.addresses


@given(FILES)
async def test_what_is_read_is_what_the_store_gives_back(content: bytes) -> None:
    found = read_or_refused(content)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        path = csv_file(Path(folder), content)
        if found is None or not found.recipients:
            with pytest.raises(ListError) as refused:
                await take_snapshot(store, path)
            assert SENTENCE.fullmatch(str(refused.value))
            return
        scan = await take_snapshot(store, path)
        kept = await read_recipients(store, scan.snapshot, 1, scan.snapshot.total)
    first = {recipient.address.lower(): recipient for recipient in reversed(found.recipients)}
    assert sorted(kept) == sorted(first.values())
    assert scan.snapshot.total + scan.snapshot.duplicates == len(found.recipients)
    assert list(scan.invalid) == found.invalid

"""The rows of a list: who is a recipient, which row is left out and why, and in which line it stands."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchmail.errors import ListError
from tests.pure.csv_files import csv_file, read


def test_cells_are_kept_as_they_are(tmp_path: Path) -> None:
    content = 'email,a,b\nann@x.org, x ,"say ""hi"""\nbob@x.org,"l1\nl2\r\nl3",5" pipe\n'
    found = read(csv_file(tmp_path, content))
    assert [recipient.fields for recipient in found.recipients] == [
        (" x ", 'say "hi"'),
        ("l1\nl2\r\nl3", '5" pipe'),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_has_the_line_in_which_it_begins(tmp_path: Path, end: str) -> None:
    lines = ["email,a", 'ann@x.org,"1', "", '3"', "", " ", "bob@x.org,2", "bad,3", "c@x.org,4"]
    found = read(csv_file(tmp_path, end.join(lines)))
    assert [(recipient.line, recipient.address) for recipient in found.recipients] == [
        (2, "ann@x.org"),
        (7, "bob@x.org"),
        (9, "c@x.org"),
    ]
    assert found.invalid == [(8, "the address has no @")]


def test_rows_that_hold_nothing_are_skipped(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, "email,a,b\n\n,,\n , ,\n,,,,,\n \nann@x.org,,\n\n\n"))
    assert found.addresses == ["ann@x.org"]
    assert found.invalid == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("ann@x.org,1", "has 2 cells where the header has 3"),
        ("ann@x.org", "has 1 cell where the header has 3"),
        ("ann@x.org,1,2,3", "has 4 cells where the header has 3"),
        ("ann@x.org,1,2,", "has 4 cells where the header has 3"),
        (",Ann,", "has no address"),
        ("ann,1,2", "the address has no @"),
        ("ann@x.org,\0,2", "has a NUL character in it"),
        ("ann\0@x.org,1,2", "has a NUL character in it"),
        ('ann@x.org,"1"st,2', 'has text behind a closing quotation mark (")'),
        (f"ann@x.org,{'x' * 200_000},2", "has a cell of more than 131,072 characters"),
        ('ann@x.org,"1\n2"', "has 2 cells where the header has 3, and a quoted field that goes on to line 4"),
    ],
)
def test_a_bad_row_is_left_out_with_its_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    found = read(csv_file(tmp_path, f"email,a,b\nfirst@x.org,,\n{row}\nlast@x.org,,\n"))
    assert found.invalid == [(3, reason)]
    assert found.addresses == ["first@x.org", "last@x.org"]


def test_a_quoted_field_that_is_never_closed_is_named_by_its_line(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'email,a\nann@x.org,1\nbob@x.org,"2\nc@x.org,3\nd@x.org,4\n')
    with pytest.raises(ListError, match=r"quoted field \(\"\) in the row that begins at line 3 and is never"):
        read(path)


def test_a_quoted_field_that_swallows_a_large_file_is_named_by_its_line(tmp_path: Path) -> None:
    rows = "".join(f"r{number}@x.org,{number}\n" for number in range(20_000))
    path = csv_file(tmp_path, f'email,a\nann@x.org,1\nbob@x.org,"2\n{rows}')
    with pytest.raises(ListError, match=r"begins at line 3 and is still open 131,072 characters later"):
        read(path)


def test_a_quoted_field_that_swallows_rows_up_to_the_next_one_is_named_by_its_line(tmp_path: Path) -> None:
    path = csv_file(tmp_path, 'email,a\nann@x.org,"1\nbob@x.org,2\nc@x.org,"3"\nd@x.org,4\n')
    with pytest.raises(ListError, match=r"begins at line 2 and text behind its closing mark at line 4"):
        read(path)


def test_no_message_holds_an_address_or_a_cell(tmp_path: Path) -> None:
    content = 'email,a\nann@x.org,secret\nann@x.org,"secret\nann@x.org,"secret"\n'
    with pytest.raises(ListError) as caught:
        read(csv_file(tmp_path, content))
    assert "ann" not in str(caught.value).replace(str(tmp_path), "")
    assert "secret" not in str(caught.value)


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(',;\t"\n\r '), max_size=20
)
WIDTHS = st.integers(0, 4)


def quoted(cell: str, *, always: bool) -> str:
    """RFC 4180: quotes are needed around what would end a cell or a row, and around quotes."""
    needed = always or any(character in ',;\t"\r\n' for character in cell)
    return '"{}"'.format(cell.replace('"', '""')) if needed else cell


@settings(deadline=None)
@given(
    rows=WIDTHS.flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6)),
    delimiter=st.sampled_from([",", ";", "\t"]),
    always=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    position=st.integers(0, 4),
    bom=st.booleans(),
)
def test_whatever_is_written_as_csv_is_read_as_the_same_recipients(
    rows: list[list[str]], delimiter: str, always: bool, line_end: str, position: int, bom: bool
) -> None:
    width = len(rows[0]) if rows else 0
    position = min(position, width)
    table = [[f"field{number}" for number in range(width)], *map(list, rows)]
    for number, cells in enumerate(table):
        cells.insert(position, f"r{number}@x.org" if number else "email")
    content = "".join(
        delimiter.join(quoted(cell, always=always) for cell in cells) + line_end for cells in table
    )
    with tempfile.TemporaryDirectory() as folder:
        found = read(csv_file(Path(folder), content.encode("utf-8-sig" if bom else "utf-8")))
    assert found.invalid == []
    assert [list(recipient.fields) for recipient in found.recipients] == rows
    assert found.addresses == [f"r{number}@x.org" for number in range(1, len(table))]


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(st.sampled_from('email,;\t"\n\r\0a@x.orgü')).map(str.encode))
def test_any_file_at_all_is_read_or_refused_in_one_sentence(content: bytes) -> None:
    refusal = ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(csv_file(Path(folder), content))
        except ListError as error:
            refusal = str(error)
    assert re.fullmatch(r"(The list .*\.)?", refusal)

"""Files that are no list, and how text is encoded."""

from __future__ import annotations

import codecs
import gzip
import os
import threading
import zipfile
from pathlib import Path

import pytest

from batchmail.errors import InputError, ListError
from batchmail.lists.lines import MAX_LINE
from batchmail.lists.location import local_path
from tests.pure.csv_files import csv_file, read

GOOD = "email,name\nann@x.org,Jürgen\n"


@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, bom: bytes) -> None:
    found = read(csv_file(tmp_path, bom + GOOD.encode()))
    assert found.recipients == [(2, "ann@x.org", ("Jürgen",))]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["-le", "-be"])
def test_utf_16_with_a_byte_order_mark_is_to_be_saved_as_utf_8(
    tmp_path: Path, encoding: str, order: str
) -> None:
    with pytest.raises(ListError, match="is UTF-16 or UTF-32: save it as CSV in UTF-8"):
        read(csv_file(tmp_path, ("\ufeff" + GOOD).encode(encoding + order)))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_byte_order_mark_is_recognised(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ListError, match="binary or UTF-16"):
        read(csv_file(tmp_path, GOOD.encode(encoding)))


def test_a_byte_that_is_not_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    rows = "".join(f"r{number}@x.org,{number}\n" for number in range(2, 5000))
    content = f"email,name\n{rows}".encode() + "ann@x.org,Jürgen\n".encode("latin-1")
    with pytest.raises(ListError, match=r"is not UTF-8: line 5000 has the byte 0xfc"):
        read(csv_file(tmp_path, content))


@pytest.mark.parametrize("content", ["email,név\n".encode("iso-8859-2"), b"email,a\nann@x.org,\xe2\x82"])
def test_bad_bytes_in_the_header_and_at_the_very_end_are_found(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ListError, match=r"is not UTF-8: line \d has the byte 0x"):
        read(csv_file(tmp_path, content))


def test_a_byte_that_is_not_utf_8_is_found_also_in_a_row_that_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"line 3 has the byte 0xff"):
        read(csv_file(tmp_path, b"email,a\nann@x.org,1\nbad,\xff,,\n"))


def test_a_workbook_is_to_be_saved_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    with zipfile.ZipFile(path, "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(ListError, match=r"looks like a workbook .*: save the sheet as CSV"):
        read(path)
    with pytest.raises(ListError, match="looks like a workbook"):
        read(csv_file(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "list.xls"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(GOOD.encode(), mtime=0), r"is compressed \(gzip\): unpack it"),
        (b"%PDF-1.7\n", "is a PDF file"),
        (b"\x7fELF\x02\x01\x01" + bytes(2000), "is binary"),
        (bytes(100_000), "is binary"),
        (b"", "is empty"),
        (codecs.BOM_UTF8, "is empty"),
        (b"\n\r\n  \n,,,\n", "is empty"),
    ],
)
def test_a_file_that_is_no_list_is_named_for_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(ListError, match=what):
        read(csv_file(tmp_path, content))


def test_a_list_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"The list .*/none\.csv does not exist: check the path\.$"):
        read(tmp_path / "none.csv")


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="is a folder"):
        read(tmp_path)


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"cannot be read \(Not a directory\)"):
        read(csv_file(tmp_path, GOOD) / "list.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_list_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = csv_file(tmp_path, GOOD)
    path.chmod(0)
    with pytest.raises(ListError, match="may not be read by this user"):
        read(path)


@pytest.mark.parametrize("head", ["", "email,name\nann@x.org,"])
def test_a_file_without_line_ends_is_refused_in_bounded_memory(tmp_path: Path, head: str) -> None:
    with pytest.raises(ListError, match="of more than 8,000,000 characters"):
        read(csv_file(tmp_path, head + "a" * (MAX_LINE + 1)))


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert read(pipe).addresses == ["ann@x.org"]
    writer.join()


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/lists/a b.csv", "/lists/a b.csv"),
        ("lists/50%.csv", "lists/50%.csv"),
        ("file:///lists/a%20b.csv", "/lists/a b.csv"),
        ("FILE://localhost/lists/a.csv", "/lists/a.csv"),
        ("C:list.csv", "C:list.csv"),
    ],
)
def test_a_location_is_a_path_or_a_file_url(location: str, path: str) -> None:
    assert local_path(location) == Path(path)


@pytest.mark.parametrize(
    "location",
    [
        *("https://x.org/list.csv", "s3://bucket/list.csv", "file://elsewhere/l.csv"),
        *("file:///a%00b", "a\0b", "file://[x/list.csv"),
    ],
)
def test_a_location_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(InputError, match=r"give a path, or a file:// URL"):
        local_path(location)

"""What the list's first row says: delimiter, address column, fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchmail.errors import ListError
from tests.pure.csv_files import csv_file, read


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_comma_semicolon_and_tab_are_found_out(tmp_path: Path, delimiter: str) -> None:
    rows = [["name", "email", "town"], ["Ann", "ann@x.org", "Ulm"]]
    found = read(csv_file(tmp_path, "".join(delimiter.join(row) + "\n" for row in rows)))
    assert found.fields == ("name", "town")
    assert found.recipients == [(2, "ann@x.org", ("Ann", "Ulm"))]


@pytest.mark.parametrize(
    ("content", "fields", "cells"),
    [
        ('email;"Last, First"\nann@x.org;Smith, Ann\n', ("last_first",), ("Smith, Ann",)),
        ("email;price, net;a,b,c\nann@x.org;1,50;\n", ("price_net", "a_b_c"), ("1,50", "")),
        ('"first;last","email"\n"Ann;Smith",ann@x.org\n', ("first_last",), ("Ann;Smith",)),
        ("email\tgreeting, long; very\nann@x.org\tHi, Ann; hi\n", ("greeting_long_very",), ("Hi, Ann; hi",)),
        ('"note\nof two; lines","email"\nA,ann@x.org\n', ("note_of_two_lines",), ("A",)),
        ('"email";"a"\n"ann@x.org";"1"\n', ("a",), ("1",)),
    ],
)
def test_another_delimiter_in_a_title_or_a_cell_does_not_mislead(
    tmp_path: Path, content: str, fields: tuple[str, ...], cells: tuple[str, ...]
) -> None:
    found = read(csv_file(tmp_path, content))
    assert found.fields == fields
    assert [recipient.fields for recipient in found.recipients] == [cells]


@pytest.mark.parametrize("content", ["email\nann@x.org\nbob@x.org\n", "email\r\nann@x.org\r\nbob@x.org"])
def test_a_list_of_one_column_needs_no_delimiter(tmp_path: Path, content: str) -> None:
    found = read(csv_file(tmp_path, content))
    assert found.fields == ()
    assert found.addresses == ["ann@x.org", "bob@x.org"]


@pytest.mark.parametrize("title", ["email", "Email", "EMAIL", " eMail ", "\ufeffemail", '" email"'])
def test_the_address_column_is_called_email_in_any_case_and_white_space(tmp_path: Path, title: str) -> None:
    found = read(csv_file(tmp_path, f"name,{title}\nAnn,ann@x.org\n"))
    assert found.addresses == ["ann@x.org"]
    assert found.fields == ("name",)


@pytest.mark.parametrize("wanted", ["Work Mail", "work mail", " WORK MAIL "])
def test_another_column_can_be_named(tmp_path: Path, wanted: str) -> None:
    path = csv_file(tmp_path, "name;Work Mail\nAnn;ann@x.org\n")
    assert read(path, wanted).addresses == ["ann@x.org"]


def test_of_two_columns_the_one_written_exactly_so_is_taken(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "mail,MAIL\nold@x.org,new@x.org\n")
    found = read(path, "MAIL")
    assert found.addresses == ["new@x.org"]
    assert found.fields == ("mail",)
    assert found.recipients[0].fields == ("old@x.org",)


def test_two_columns_that_fit_alike_are_refused(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "mail,MAIL\nold@x.org,new@x.org\n")
    with pytest.raises(
        ListError, match=r"two columns for the addresses: 'mail' \(number 1\) and 'MAIL' \(number 2\)"
    ):
        read(path, "Mail")


def test_a_list_without_an_address_column_is_refused_and_its_columns_named(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "name;mail\nAnn;ann@x.org\n")
    with pytest.raises(ListError, match=r"no column 'email', but 'name', 'mail': .* --email-column\.$"):
        read(path)
    with pytest.raises(ListError, match=r"no column 'e-post', but 'name', 'mail': "):
        read(path, "e-post")


@pytest.mark.parametrize(
    "content", ["ann@x.org\nbob@x.org\n", "Ann;ann@x.org\n", "ann@@x\n", "email,ann@x.org\nb@x.org,\n"]
)
def test_a_first_row_with_an_address_is_no_header(tmp_path: Path, content: str) -> None:
    with pytest.raises(ListError, match=r"has no header: ") as caught:
        read(csv_file(tmp_path, content))
    assert "@" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "email,First Name,first_name\n",
            r"one name first_name .*'First Name' \(number 2\) and 'first_",
        ),
        ("a,email,A\n", r"one name a .*'a' \(number 1\) and 'A' \(number 3\)"),
        ("email,class,class_\n", r"one name class_ "),
        ("email,E-Mail,e mail\n", r"one name e_mail "),
    ],
)
def test_two_columns_that_meet_in_one_name_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ListError, match=message):
        read(csv_file(tmp_path, content))


def test_a_second_column_called_email_is_refused_since_the_address_has_that_name(tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"one name email .*'Mail' \(number 1\) and 'Email' \(number 2\)"):
        read(csv_file(tmp_path, "Mail,Email\nann@x.org,bob@x.org\n"), "Mail")
    with pytest.raises(ListError, match=r"two columns .* 'Email' \(number 1\) and 'EMAIL' \(number 2\)"):
        read(csv_file(tmp_path, "Email,EMAIL\nann@x.org,bob@x.org\n"))


def test_a_title_that_only_looks_like_an_address_is_a_title(tmp_path: Path) -> None:
    assert read(csv_file(tmp_path, "email,price@2024\nann@x.org,1\n")).fields == ("price_2024",)


def test_empty_columns_at_the_right_hand_end_are_ignored(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, "email,name,,\nann@x.org,Ann,,\nbob@x.org,Bob,\nc@x.org,C\n"))
    assert found.fields == ("name",)
    assert found.addresses == ["ann@x.org", "bob@x.org", "c@x.org"]
    assert found.invalid == []


def test_a_cell_in_a_column_without_a_title_at_the_end_makes_its_row_invalid(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, "email,name,,\nann@x.org,Smith, Ann,\nbob@x.org,Bob,,\n"))
    assert found.addresses == ["bob@x.org"]
    assert found.invalid == [(2, "has a cell behind the last column with a title (number 2)")]


def test_a_column_without_a_title_before_others_is_reached_by_its_number(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, ",email,#\n0,ann@x.org,7\n"))
    assert found.fields == ("column_1", "column_3")
    assert found.recipients[0].fields == ("0", "7")


def test_blank_lines_before_the_header_are_skipped_and_counted(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, "\n  \n,,\nemail,a\n\nann@x.org,1\n"))
    assert [recipient.line for recipient in found.recipients] == [6]


@pytest.mark.parametrize(
    "content",
    ['"email,name\nann@x.org,Ann\n', 'email;"name\nann@x.org;Ann\n', '"email"x,name\nann@x.org,A\n'],
)
def test_a_quotation_mark_out_of_place_in_the_header_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(ListError, match=r"quotation mark \(\"\) in its header"):
        read(csv_file(tmp_path, content))


def test_a_hundred_thousand_columns_are_read(tmp_path: Path) -> None:
    titles = ",".join(f"field {number}" for number in range(100_000))
    found = read(csv_file(tmp_path, f"email,{titles}\nann@x.org,{',' * 99_999}\n"))
    assert len(found.fields) == 100_000
    assert found.addresses == ["ann@x.org"]


def test_a_message_about_a_wide_header_stays_short(tmp_path: Path) -> None:
    titles = ",".join(f"field {number} {'x' * 90}" for number in range(1000))
    with pytest.raises(ListError, match="and 990 more") as caught:
        read(csv_file(tmp_path, f"{titles}\n"))
    assert len(str(caught.value)) < 1000

"""How a column's title becomes a name in the template."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from batchmail.lists.field_names import clash, field_name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("name", "name"),
        ("First Name", "first_name"),
        ("first_name", "first_name"),
        ("FIRST-NAME", "first_name"),
        ("First\nName", "first_name"),
        ("Price (EUR)", "price_eur"),
        ("2nd line", "_2nd_line"),
        ("_id", "_id"),
        ("class", "class_"),
        ("True", "true_"),
        ("none", "none_"),
        ("not", "not_"),
        ("self", "self_"),
        ("Prénom", "prénom"),
        ("Pre\u0301nom", "prénom"),
        ("Straße", "straße"),
        ("名前", "名前"),
        ("ｎａｍｅ", "name"),
        ("Größe ²", "größe_2"),
        ("#", "column_7"),
        ("", "column_7"),
        ("__", "column_7"),
    ],
)
def test_a_title_becomes_this_name(title: str, name: str) -> None:
    assert field_name(title, 7) == name


JINJA = SandboxedEnvironment(undefined=StrictUndefined)
WORDS = st.sampled_from(
    [
        *("true", "none", "self", "loop", "super", "range", "dict", "caller", "block", "extends", "include"),
        *("macro", "set", "filter", "recursive", "context", "elif", "endif", "_", "__"),
        *keyword.kwlist,
        *keyword.softkwlist,
    ]
)


@settings(deadline=None)
@given(st.text() | WORDS | st.characters().map("a{}b".format))
def test_every_name_is_an_identifier_that_a_template_can_reach(title: str) -> None:
    name = field_name(title, 3)
    assert name.isidentifier()
    assert not keyword.iskeyword(name)
    assert JINJA.from_string("{{ " + name + " }}").render({name: "the value"}) == "the value"


@settings(deadline=None)
@given(st.text())
def test_a_name_stays_itself(title: str) -> None:
    name = field_name(title, 3)
    assert field_name(name, 9) == name or name.rstrip("_") != name


def test_two_columns_that_meet_are_found() -> None:
    assert clash(["a", "b", "c", "b", "a"]) == (1, 3)
    assert clash(["a", "b"]) is None

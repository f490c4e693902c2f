"""Templates: what is wrong is said beforehand with file and line; what is right is filled as Jinja would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined

from batchmail.errors import FillError, MessageError
from batchmail.message.templates import Template, compile_template
from batchmail.message.wording import Place
from tests.pure.mails import compiled

NAMES = ("email", "first_name", "city")
VALUES = ("ada@example.com", "Ada", "London")
PLACE = Place("message.txt", 10)


def template(source: str, *, html: bool = False) -> Template:
    return compile_template(source, PLACE, NAMES, "emails.csv", html=html)


def filled(source: str, values: tuple[str, ...] = VALUES, *, html: bool = False) -> str:
    return template(source, html=html).text(values)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "Hi\n{{ frist_name }}",
            "message.txt, line 11: emails.csv has no field 'frist_name' (did you mean 'first_name'?); "
            "it has email, first_name, city.",
        ),
        ("{% if x %}{% endif %}", "line 10: emails.csv has no field 'x'; it has"),
        ("{% for a in city %}{{ a }}\n{{ b }}{% endfor %}", "line 11: emails.csv has no field 'b'"),
        ("{% for a in city %}{% endfor %}\n{{ a }}", "line 11: emails.csv has no field 'a'"),
        ("{{ city|uper }}", "line 10: there is no filter 'uper' (did you mean 'upper'?)."),
        ("\n{% if false %}{{ city|nope }}{% endif %}", "line 11: there is no filter 'nope'"),
        ("{{ city is evn }}", "line 10: there is no test 'evn' (did you mean 'even'?)"),
        ("\n\n{{ city", "line 12: the template cannot be read"),
        ("{% if city %}", "line 10: the template cannot be read"),
        ("{{ city }}\n{% endif %}", "line 11: the template cannot be read"),
        ("{% frob %}", "line 10: the template cannot be read: Encountered unknown tag 'frob'"),
        ("\n{% include 'other.txt' %}", "line 11: 'include' cannot be used: a message is one file"),
        ("{% extends 'other.txt' %}", "line 10: 'extends' cannot be used"),
        ("{% import 'other.txt' as other %}", "line 10: 'import' cannot be used"),
        ("{% from 'other.txt' import other %}", "line 10: 'from' cannot be used"),
        ("{% if city %}{% include city %}{% endif %}", "line 10: 'include' cannot be used"),
        ("{{ lipsum() }}", "has no field 'lipsum'"),
        ("{{" + "(" * 3000 + "1" + ")" * 3000 + "}}", "message.txt: the template is nested too deeply"),
    ],
)
def test_a_bad_template_is_refused_with_its_line(source: str, says: str) -> None:
    with pytest.raises(MessageError) as refused:
        template(source)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% set town = city %}{{ town }}", "London"),
        ("{% for letter in first_name %}{{ loop.index }}{{ letter }}{% endfor %}", "1A2d3a"),
        ("{% for x in city.split('n') if x %}{{ x }},{% else %}none{% endfor %}", "Lo,do,"),
        ("{{ first_name|default('you') }} {{ city|upper }}", "Ada LONDON"),
        ("{% macro hi(who) %}Hi {{ who }}{% endmacro %}{{ hi(first_name) }}", "Hi Ada"),
        ("{% if city %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}", "1"),
        ("{% set a, b = 1, 2 %}{% set c %}3{% endset %}{{ a }}{{ b }}{{ c }}", "123"),
        ("{% block a %}{{ city }}{% endblock %}", "London"),
        ("{% raw %}{{ nothing }}{% endraw %}", "{{ nothing }}"),
        ("a\n{% if city %}\nb\n{% endif %}\nc\n", "a\nb\nc\n"),
        ("{# nothing #}{{ email }}", "ada@example.com"),
        ("{{ range(3)|join }}{{ 2 * 3 }}{{ 'a' * 3 }}{{ 2 ** 3 }}", "0126aaa8"),
        ("{% for a in first_name %}{{ loop.length }}{% endfor %}", "333"),
    ],
)
def test_what_jinja_offers_within_one_file_works(source: str, expected: str) -> None:
    assert filled(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in city %}" * 12 + "{% endfor %}" * 12,
        "{{ 10 ** 1000 }}",
        "{{ 9 ** 99 ** 99 ** 99 ** 99 }}",
        "{{ 'a' * 10 ** 9 }}{{ 10 ** 9 * 'a' }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set x = [1] * 999999 %}{% for a in x %}{% endfor %}",
    ],
)
def test_a_template_that_would_run_for_ever_fails_soon(source: str) -> None:
    with pytest.raises(FillError, match=r"message\.txt, line 10: it is too much work for one mail"):
        filled(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ city.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(city) }}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(FillError):
        filled(source)


@pytest.mark.parametrize(
    "source",
    [
        "x\n{{ {'a': 1}[first_name] }}",
        "x\n{{ first_name.nothing }}",
        "x\n{{ first_name|int + city }}",
        "x\n{{ first_name + 1 }}",
        "x\n{{ '%d' % first_name }}",
        "x\n{{ {}[first_name]() }}",
        "x\n{% if city == 'Rome' %}{% set a = 1 %}{% endif %}{{ a }}",
    ],
)
def test_a_failure_for_one_recipient_names_the_line_and_no_value(source: str) -> None:
    with pytest.raises(FillError) as failed:
        filled(source)
    assert str(failed.value).startswith("message.txt, line 11: ")
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None
    for value in VALUES:
        assert value not in str(failed.value)


def test_values_are_escaped_in_html_and_nowhere_else() -> None:
    values = ("a@b", "<b>&\"'", "x")
    for source in ("{{ first_name }}", "{% if 1 %}{{ first_name }}{% endif %}"):
        assert filled(source, values) == "<b>&\"'"
        assert filled(source, values, html=True) == "&lt;b&gt;&amp;&#34;&#39;"


def test_a_subject_is_compiled_with_its_own_line() -> None:
    with pytest.raises(MessageError, match=r"message\.md, line 2: the list has no field 'x'"):
        compiled("Hello", subject="{{ x }}")
    with pytest.raises(MessageError, match="--subject: the list has no field 'x'"):
        compiled("Hello", subject="{{ x }}", subject_line=0)
    with pytest.raises(MessageError, match=r"message\.md, line 7: the list has no field 'x'"):
        compiled("Hello", headers=(("X-A", "{{ x }}"),), header_lines=(7,))


LITERALS = st.text(st.sampled_from("ab .\n{}%#<>&\r\u00fc\u2028"), max_size=8)
TAGS = st.sampled_from(
    ["{{ email }}", "{{first_name}}", "{{ city -}}", "{{- city }}", "{# c #}", "{{ true }}"]
)
SOURCES = st.lists(st.one_of(LITERALS, TAGS), max_size=8).map("".join)
VALUE = st.text(st.sampled_from("ab .\n<>&'\"{}%\u00fc"), max_size=6)


@given(source=SOURCES, values=st.tuples(VALUE, VALUE, VALUE), html=st.booleans())
def test_the_quick_way_gives_what_jinja_gives(source: str, values: tuple[str, str, str], html: bool) -> None:
    try:
        ours = template(source, html=html)
    except MessageError:
        return
    jinja = Environment(
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    expected = jinja.from_string(source).render(dict(zip(NAMES, values, strict=True)))
    assert ours.text(values) == expected
    assert ours.lines(values, clean=False) == expected.replace("\n", "\r\n")
    if not any("\n" in value for value in values):
        assert ours.lines(values, clean=True) == expected.replace("\n", "\r\n")

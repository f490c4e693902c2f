"""Markdown becomes HTML with the template's tags untouched, wherever they stand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.errors import MessageError
from batchmail.message.markdown import render_markdown
from tests.pure.mails import body_of, compiled, fill, parsed

FIELDS = ("name", "url", "items")


def rendered(source: str) -> str:
    """The page's body, still a template."""
    page = render_markdown(source)
    found = re.search(r"<body[^>]*>\n(.*)</body>", page, re.DOTALL)
    assert found
    return found[1].strip()


def html(source: str, *values: str) -> str:
    mail = parsed(
        fill(compiled(source, FIELDS, kind="markdown"), values or ("Ada", "https://a.example/", "x,y"))
    )
    found = re.search(r"<body[^>]*>\r\n(.*)</body>", body_of(mail, "html"), re.DOTALL)
    assert found
    return found[1].strip().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a }}", "<p>{{ a }}</p>"),
        ("**{{ a }}** and *{{ b * c }}*", "<p><strong>{{ a }}</strong> and <em>{{ b * c }}</em></p>"),
        ("[x]({{ url }})", '<p><a href="{{ url }}">x</a></p>'),
        (
            "[{{ a }}](https://b/?q={{ c|urlencode }}&d)",
            '<p><a href="https://b/?q={{ c|urlencode }}&amp;d">{{ a }}</a></p>',
        ),
        ('[x]({{ url|default("https://a") }})', '<p><a href="{{ url|default("https://a") }}">x</a></p>'),
        ("[x][y]\n\n[y]: {{ url }}", '<p><a href="{{ url }}">x</a></p>'),
        ('![{{ a }}]({{ b }} "{{ c }}")', '<p><img src="{{ b }}" alt="{{ a }}" title="{{ c }}" /></p>'),
        ("<{{ url }}>", '<p><a href="{{ url }}">{{ url }}</a></p>'),
        ("<{{ email }}>", '<p><a href="mailto:{{ email }}">{{ email }}</a></p>'),
        (
            "<https://a.example/{{ b }}>",
            '<p><a href="https://a.example/{{ b }}">https://a.example/{{ b }}</a></p>',
        ),
        ("`{{ a }}` `<{{ a }}>`", "<p><code>{{ a }}</code> <code>&lt;{{ a }}&gt;</code></p>"),
        ("```\n{{ a_b_c }} *x*\n```", "<pre><code>{{ a_b_c }} *x*\n</code></pre>"),
        ("    {% if a %}\n    {{ b }}", "<pre><code>{% if a %}\n{{ b }}\n</code></pre>"),
        ("# {{ a }}", "<h1>{{ a }}</h1>"),
        ("{{ a_b }}_c_{{ d }}", "<p>{{ a_b }}_c_{{ d }}</p>"),
        ("{{ '}}' }} {{ {'a': {}} }}", "<p>{{ '}}' }} {{ {'a': {}} }}</p>"),
        ("<div class='{{ a }}'>{{ b }}</div>", "<div class='{{ a }}'>{{ b }}</div>"),
        ("a {% if b %}**c**{% endif %} d", "<p>a {% if b %}<strong>c</strong>{% endif %} d</p>"),
        ("{# - a\n\n- b #}", "{# - a\n\n- b #}"),
        (
            "| a |\n| - |\n| {{ b|join('x') }} |",
            "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n"
            "<tbody>\n<tr>\n<td>{{ b|join('x') }}</td>\n</tr>\n</tbody>\n</table>",
        ),
        ("{% raw %}{{ a }} & b{% endraw %}", "<p>{% raw %}{{ a }} &amp; b{% endraw %}</p>"),
        ("~~{{ a }}~~", "<p><s>{{ a }}</s></p>"),
    ],
)
def test_tags_pass_through_markdown(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% if a %}\nyes\n{% endif %}", "{% if a %}\n<p>yes</p>\n{% endif %}"),
        ("a\n{% if b %}\nc\n{% endif %}\nd", "<p>a</p>\n{% if b %}\n<p>c</p>\n{% endif %}\n<p>d</p>"),
        ("{% if a %}\n\nyes\n\n{% endif %}", "{% if a %}\n<p>yes</p>\n{% endif %}"),
        (
            "- a\n{% if b %}\n- c\n{% endif %}",
            "<ul>\n<li>a</li>\n</ul>\n{% if b %}\n<ul>\n<li>c</li>\n</ul>\n{% endif %}",
        ),
        (
            "> a\n{% if b %}\nc\n{% endif %}",
            "<blockquote>\n<p>a</p>\n</blockquote>\n{% if b %}\n<p>c</p>\n{% endif %}",
        ),
        (
            "> {% if a %}\n> b\n> {% endif %}",
            "<blockquote>\n{% if a %}\n<p>b</p>\n{% endif %}\n</blockquote>",
        ),
        (
            "- a\n\n  {% if b %}\n  c\n  {% endif %}",
            "<ul>\n<li>\n<p>a</p>\n{% if b %}\n<p>c</p>\n{% endif %}\n</li>\n</ul>",
        ),
        ("{%- if a -%}\nyes\n{%- endif -%}\n", "{%- if a -%}\n<p>yes</p>\n{%- endif -%}"),
        ("{% set a = 1 %}{% set b = 2 %}\n# c", "{% set a = 1 %}{% set b = 2 %}\n<h1>c</h1>"),
    ],
)
def test_a_line_of_tags_is_no_paragraph(source: str, expected: str) -> None:
    assert rendered(source) == expected


def test_rows_of_a_table_can_be_repeated() -> None:
    source = "| a | b |\n| - | - |\n{% for item in items.split(',') %}\n| {{ item }} | *1* |\n{% endfor %}\n"
    assert html(source).count("<tr>") == 3
    assert "<td></td>" not in html(source)


def test_a_condition_leaves_no_empty_paragraph() -> None:
    assert html("a\n\n{% if name == 'Bob' %}\nb\n{% endif %}\n\nc") == "<p>a</p>\n<p>c</p>"


def test_a_value_is_never_read_as_markdown_and_never_as_html() -> None:
    value = "**x** [y](z) <script>&\"' `q` # h"
    shown = "**x** [y](z) &lt;script&gt;&amp;&#34;&#39; `q` # h"
    assert html("{{ name }}", value, "", "") == f"<p>{shown}</p>"
    assert html('[a]({{ url }})<i title="{{ url }}">', "", value, "").count(shown) == 2


def test_the_authors_own_html_passes_through() -> None:
    assert html('a <span class="x">b</span>') == '<p>a <span class="x">b</span></p>'


def test_the_text_part_is_the_markdown_as_filled() -> None:
    mail = parsed(fill(compiled("# Hello **{{ name }}**\n", FIELDS, kind="markdown"), ("<Ada>", "", "")))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert body_of(mail) == "# Hello **<Ada>**\r\n"


def test_tags_that_markdown_tears_apart_are_refused() -> None:
    with pytest.raises(MessageError, match="Markdown has torn apart tags"):
        compiled("[unused]: /x '{% if name %}'\n\nHello{% endif %}", FIELDS, kind="markdown")


PARTS = ["{{ name }}", "{{- url }}", "{% if name %}", "{% endif %}", "{# c #}", "{% raw %}", "{% endraw %}"]
PARTS += [
    "{{ '%}' }}",
    "{%- set a = '{{' -%}",
    "\n",
    "\n\n",
    "- ",
    "| ",
    "# ",
    "> ",
    "*",
    "_",
    "`",
    "```\n",
    "<",
]
PARTS += [">", "[", "](", ")", "    ", "a", "\\", "&amp;", "-", "\n| - | - |\n"]


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
def test_no_mark_of_ours_is_left_in_the_page(source: str) -> None:
    try:
        compiled(source + "x", FIELDS)
    except MessageError:
        return
    page = render_markdown(source + "x")
    assert not re.search(r"q[0-9a-f]{12}q", page)
    assert "x-field:" not in page

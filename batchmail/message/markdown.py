"""Markdown → HTML, once a batch, with the template's tags left as they are.

Markdown never sees a tag: each is a word of letters and digits while it works. So a field's value, which
comes later, is never read as Markdown, and a tag works in links, tables, emphasis and code alike. Raw HTML of
the author's passes through. Values are escaped when the HTML is filled, and so cannot leave an attribute.
What a link made of a field points at is the list's to answer for: `[site]({{ url }})` with a javascript:
address stays one (mail programs do not run it).
"""

from __future__ import annotations

import hashlib
import re

from jinja2.sandbox import SandboxedEnvironment
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_BEGINS = {"variable_begin", "block_begin", "comment_begin"}
_ENDS = {"variable_end", "block_end", "comment_end"}
_WHOLE = {"raw_begin", "raw_end"}
_LEXER = SandboxedEnvironment().lexer
_LINK_SCHEME = "x-field:"

_PAGE = """\
<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
</head>
<body style="font-family: sans-serif; line-height: 1.5">
{body}</body>
</html>
"""


def render_markdown(source: str) -> str:
    """An HTML page, still a template, from Markdown that is a template and parses."""
    tags = _Tags(source)
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    own_line = re.compile(rf"(?:\s*{tags.mark}s\d+z)+\s*")

    def tag_lines(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        """Lines of nothing but tags such as {% if %} stand between blocks: they are no paragraph."""
        if state.is_code_block(start) or (silent and state.parentType == "table"):
            return False
        line = state.getLines(start, start + 1, 0, False)
        if own_line.fullmatch(line) is None:
            return False
        if not silent:
            state.line = start + 1
            token = state.push("html_block", "", 0)
            token.content = line.strip() + "\n"
            token.map = [start, state.line]
        return True

    def tag_rows(state: StateCore) -> None:
        """In a table too: a row of nothing but tags is no row."""
        state.tokens = list(_without_tag_rows(state.tokens, own_line))

    markdown.block.ruler.before(
        "table", "tag_lines", tag_lines, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    markdown.core.ruler.push("tag_rows", tag_rows)
    return _PAGE.replace("{body}", tags.restored(markdown.render(tags.masked)))


class _Tags:
    """The tags of a template, each with a word that stands for it.

    Words are `<mark>s<number>z` for statements and comments, `<mark>v<number>z` for values.
    """

    def __init__(self, source: str) -> None:
        self.mark = _absent_mark(source)
        self._tags: list[str] = []
        self.masked = self._mask(source)

    def _mask(self, source: str) -> str:
        parts: list[str] = []
        position = 0  # in source: behind what is in parts
        start = 0  # of the tag that is open
        for _, kind, lexeme in _LEXER.tokeniter(source, None):
            if kind == "data":
                continue
            if kind in _BEGINS or kind in _WHOLE:
                # Lexemes come without the space that a '-' takes away before them: look where this one is.
                start = source.index(lexeme, position)
                parts.append(source[position:start])
                position = start
            position += len(lexeme)
            if kind in _ENDS or kind in _WHOLE:
                # ... and with the space taken away behind them, which Markdown needs to see.
                tag = source[start:position].rstrip()
                position = start + len(tag)
                parts.append(self._word(tag, "v" if kind == "variable_end" else "s"))
        parts.append(source[position:])
        # `<{{ url }}>` is an autolink, as `<https://example.org>` is, and no HTML element.
        return re.sub(rf"<({self.mark}v\d+z)>", rf"<{_LINK_SCHEME}\1>", "".join(parts))

    def _word(self, tag: str, kind: str) -> str:
        self._tags.append(tag)
        return f"{self.mark}{kind}{len(self._tags) - 1}z"

    def restored(self, html: str) -> str:
        """`html` with every word replaced by its tag."""

        def tag(found: re.Match[str]) -> str:
            tag = self._tags[int(found[2])]
            mailto = found[1] == f'href="{_LINK_SCHEME}' and re.fullmatch(r"\{\{-?\s*email\s*-?\}\}", tag)
            return (found[1] or "").replace(_LINK_SCHEME, "mailto:" if mailto else "") + tag

        return re.sub(rf'((?:href=")?{_LINK_SCHEME})?{self.mark}[sv](\d+)z', tag, html)


def _absent_mark(source: str) -> str:
    """A word that the source does not contain; the same for the same source."""
    number = 0
    while True:
        mark = "q" + hashlib.sha256(f"{number}\0{source}".encode()).hexdigest()[:12] + "q"
        if mark not in source:
            return mark
        number += 1


def _without_tag_rows(tokens: list[Token], own_line: re.Pattern[str]) -> list[Token]:
    kept: list[Token] = []
    row: list[Token] | None = None
    for token in tokens:
        if token.type == "tr_open":
            row = []
        if row is None:
            kept.append(token)
            continue
        row.append(token)
        if token.type == "tr_close":
            text = " ".join(cell.content for cell in row if cell.type == "inline").strip()
            if own_line.fullmatch(text):
                kept.append(Token("html_block", "", 0, content=text + "\n"))
            else:
                kept += row
            row = None
    return kept

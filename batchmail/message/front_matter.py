"""The YAML between the two `---` lines at the head of a message file."""

from __future__ import annotations

from typing import NamedTuple

import yaml

from batchmail.errors import MessageError
from batchmail.message.headers import check_name
from batchmail.message.wording import cut, did_you_mean

_KEYS = ("subject", "from", "reply-to", "headers")
_LARGEST = 30_000
_QUOTES = "a value with ':', '{', '@' or quotes in it stands as a whole in 'single quotes'"


class Entry(NamedTuple):
    """A value and its line in the file (from 1)."""

    text: str
    line: int


class FrontMatter(NamedTuple):
    """What the head of a file says; nothing here is checked but names and shapes."""

    subject: Entry | None = None
    sender: Entry | None = None
    reply_to: Entry | None = None
    headers: tuple[tuple[str, Entry], ...] = ()


def split_front_matter(text: str, name: str) -> tuple[FrontMatter, str, int]:
    """The head of a file, its body, and the body's first line in the file.

    Blank lines before the body do not count. Raises MessageError, which names file and line.
    """
    lines = text.split("\n")
    head, body = FrontMatter(), 0
    if lines[0].rstrip() == "---":
        end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
        if end is None:
            raise MessageError(
                f"{name}, line 1: '---' opens the head of the message, and no second '---' closes it."
            )
        text = "\n".join(lines[1:end])
        if len(text) > _LARGEST:
            raise MessageError(
                f"{name}, line 1: the head of the message is longer than {_LARGEST:,} characters: "
                "is its closing '---' missing?"
            )
        head, body = _read(text, name), end + 1
    while body < len(lines) and not lines[body].strip():
        body += 1
    return head, "\n".join(lines[body:]), body + 1


def _read(text: str, name: str) -> FrontMatter:
    root = _parse(text, name)
    if root is None:
        return FrontMatter()
    found = _entries(root, name, "the head of the message")
    for key, node in found.items():
        if key not in _KEYS:
            near = did_you_mean(key.lower().replace("_", "-"), _KEYS)
            raise MessageError(
                f"{name}, line {_line(node)}: {cut(key)!r} is not known here{near}; "
                f"known are {', '.join(_KEYS)}."
            )
    headers = found.get("headers")
    return FrontMatter(
        subject=_text(found.get("subject"), "subject", name),
        sender=_text(found.get("from"), "from", name),
        reply_to=_text(found.get("reply-to"), "reply-to", name),
        headers=() if headers is None or _is_empty(headers) else _headers(headers, name),
    )


def _parse(text: str, name: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 2 if mark else 1
        raise MessageError(f"{name}, line {line}: this is no YAML ({error.problem}); {_QUOTES}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 2
        raise MessageError(f"{name}, line {line}: a control character cannot stand here.") from None
    except RecursionError:
        raise MessageError(f"{name}: the head of the message is nested too deeply.") from None
    except (OverflowError, ValueError):  # PyYAML asks chr() for whatever follows a \U
        raise MessageError(f"{name}: an escape in the head of the message is no character.") from None
    return node


def _entries(node: yaml.Node, name: str, what: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise MessageError(f"{name}, line {_line(node)}: {what} must consist of lines 'name: value'.")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise MessageError(f"{name}, line {_line(key)}: a name is plain text; {_QUOTES}.")
        if key.value in found:
            raise MessageError(f"{name}, line {_line(key)}: {cut(key.value)!r} is there twice: keep one.")
        found[key.value] = value
    return found


def _text(node: yaml.Node | None, key: str, name: str) -> Entry | None:
    """A value as it is written: `subject: 2030` or `subject: Yes` is text too. Without a value: None."""
    if node is None or _is_empty(node):
        return None
    if not isinstance(node, yaml.ScalarNode):
        raise MessageError(f"{name}, line {_line(node)}: {cut(key)!r} must be one text; {_QUOTES}.")
    if any("\ud800" <= character <= "\udfff" for character in node.value):
        raise MessageError(f"{name}, line {_line(node)}: {cut(key)!r} has an escape that is no character.")
    return Entry(node.value, _line(node) + (node.style in ("|", ">")))


def _headers(node: yaml.Node, name: str) -> tuple[tuple[str, Entry], ...]:
    found = []
    seen: set[str] = set()
    for header, value in _entries(node, name, "'headers'").items():
        try:
            check_name(header)
        except ValueError as error:
            raise MessageError(f"{name}, line {_line(value)}: the header {cut(header)!r} {error}.") from None
        if header.lower() in seen:
            raise MessageError(
                f"{name}, line {_line(value)}: the header {header!r} is there twice: keep one."
            )
        seen.add(header.lower())
        text = _text(value, header, name)
        if text is not None:
            found.append((header, text))
    return tuple(found)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    """The node's line in the file: the first line of YAML is the second of the file."""
    return int(node.start_mark.line) + 2

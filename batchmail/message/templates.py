"""A template's text → a function of a recipient's values.

Templates are Jinja2, sandboxed: no loader, no unknown names, bounded work (bounds.py). Most are
nothing but text and `{{ name }}`: those are cut into pieces once, and joined, with the result Jinja gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from types import TracebackType
from typing import Protocol

from jinja2 import TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.environment import Template as JinjaCode
from markupsafe import escape

from batchmail.errors import FillError, MessageError
from batchmail.message.bounds import BoundedContext, BoundedEnvironment, bound_tree, joined
from batchmail.message.encoding import crlf
from batchmail.message.wording import Place, cut, did_you_mean, listed

Values = tuple[str, ...]
"""What a recipient puts in, in the order of the names; line ends are LF."""

MOST_TAGS = 10_000
"""Of a new message's template: so many are compiled in seconds, in 150 MB; it grows faster than they do."""


class Template(Protocol):
    """A compiled template. Both methods raise FillError."""

    def text(self, values: Values) -> str:
        """The filled text."""
        ...

    def lines(self, values: Values, clean: bool) -> str:
        """The filled text with CRLF line ends; `clean` says that no value has a line end."""
        ...


_TEXT = BoundedEnvironment(html=False)
_HTML = BoundedEnvironment(html=True)


def compile_template(
    source: str,
    place: Place,
    names: Sequence[str],
    list_name: str,
    *,
    html: bool = False,
    accepted: bool = False,
) -> Template:
    """Compile `source`; with `html`, values are escaped; `accepted`, however many tags it has.

    Raises MessageError, which names file and line: a template that does not parse, a tag that would load
    another file, an unknown filter or test, a name the list does not have.
    """
    environment = _HTML if html else _TEXT
    if not accepted and source.count("{{") + source.count("{%") > MOST_TAGS:
        raise MessageError(
            f"{place.name}: the template has more than {MOST_TAGS:,} tags ('{{{{', '{{%'): use a loop."
        )
    try:
        tree = environment.parse(source)
        _refuse_loading(tree, place)
        _refuse_unknown_functions(tree, place, environment)
        _refuse_unknown_names(tree, place, names, list_name)
        pieces = _pieces(tree, names)
        return _Jinja(tree, place, names, environment) if pieces is None else _Plain(pieces, html)
    except MessageError:
        raise
    except TemplateSyntaxError as error:
        said = (error.message or "it does not parse").rstrip(".")
        raise MessageError(f"{place.at(error.lineno)}: the template cannot be read: {cut(said)}.") from None
    except (RecursionError, MemoryError, SyntaxError):  # SyntaxError: Python nests 20 loops and 100 blocks
        raise MessageError(f"{place.name}: the template is nested too deeply.") from None
    except ValueError:
        raise MessageError(f"{place.name}: a number in the template has too many digits.") from None


def _refuse_loading(tree: nodes.Template, place: Place) -> None:
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        tag = {nodes.Extends: "extends", nodes.Include: "include", nodes.Import: "import"}.get(
            type(node), "from"
        )
        raise MessageError(
            f"{place.at(node.lineno)}: '{tag}' cannot be used: a message is one file; write the text here."
        )


def _refuse_unknown_functions(tree: nodes.Template, place: Place, environment: BoundedEnvironment) -> None:
    """Jinja itself refuses an unknown filter only where it is certain to run."""
    for kind, known, word in (
        (nodes.Filter, environment.filters, "filter"),
        (nodes.Test, environment.tests, "test"),
    ):
        for node in tree.find_all(kind):
            name = node.name
            if name is not None and name not in known:
                raise MessageError(
                    f"{place.at(node.lineno)}: there is no {word} {cut(name)!r}{did_you_mean(name, known)}."
                )


def _refuse_unknown_names(tree: nodes.Template, place: Place, names: Sequence[str], list_name: str) -> None:
    """A name that a {% set %} gives a value somewhere is left alone: Jinja cannot tell whether it does so in
    every branch, and the mail fails if it does not."""
    unknown = meta.find_undeclared_variables(tree) - set(names) - _set_names(tree)
    if not unknown:
        return
    line, name = min(
        (node.lineno, node.name)
        for node in tree.find_all(nodes.Name)
        if node.name in unknown and node.ctx == "load"
    )
    raise MessageError(
        f"{place.at(line)}: {list_name} has no field {cut(name)!r}{did_you_mean(name, names)}; "
        f"it has {listed(names)}."
    )


def _set_names(tree: nodes.Template) -> set[str]:
    targets = [node.target for node in tree.find_all(nodes.Assign)]
    targets += [node.target for node in tree.find_all(nodes.AssignBlock)]
    return {
        name.name
        for target in targets
        for name in ([target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name))
    }


def _pieces(tree: nodes.Template, names: Sequence[str]) -> list[str | int] | None:
    """The template as text and positions in `names`; None where it is more than that."""
    pieces: list[str | int] = []
    positions = {name: position for position, name in enumerate(names)}
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                pieces.append(node.data)
            elif isinstance(node, nodes.Name) and node.name in positions:
                pieces.append(positions[node.name])
            else:
                return None
    return pieces


class _Plain:
    """Literal text with a value between each two pieces of it."""

    def __init__(self, pieces: list[str | int], html: bool) -> None:
        self._text = [""]
        positions = []
        for piece in pieces:
            if isinstance(piece, str):
                self._text[-1] += piece
            else:
                positions.append(piece)
                self._text += ["", ""]
        self._lines = [crlf(text) for text in self._text]
        self._pick = _picker(positions)
        self._escaped = html

    def text(self, values: Values) -> str:
        return self._join(self._text, self._pick(values))

    def lines(self, values: Values, clean: bool) -> str:
        picked = self._pick(values)
        return self._join(self._lines, picked if clean else tuple(map(crlf, picked)))

    def _join(self, pieces: list[str], picked: Values) -> str:
        filled = pieces.copy()
        filled[1::2] = map(escape, picked) if self._escaped else picked
        return "".join(filled)


def _picker(positions: Sequence[int]) -> Callable[[Values], Values]:
    if len(positions) > 1:
        return itemgetter(*positions)
    if positions:
        only = positions[0]
        return lambda values: (values[only],)
    return lambda values: ()


class _Jinja:
    """A template with logic in it, rendered without what Template.render adds to every call."""

    def __init__(
        self, tree: nodes.Template, place: Place, names: Sequence[str], environment: BoundedEnvironment
    ) -> None:
        bound_tree(tree)
        tree.set_environment(environment)
        code = environment.compile(tree, name=None, filename=None)
        self._code = JinjaCode.from_code(environment, code, environment.globals)
        self._environment = environment
        self._globals = dict(environment.globals)
        self._names = names
        self._place = place

    def text(self, values: Values) -> str:
        names = {**self._globals, **dict(zip(self._names, values, strict=True))}
        context = BoundedContext(self._environment, names, None, self._code.blocks)
        try:
            return joined(self._code.root_render_func(context))
        except Exception as error:
            failure = self._failure(error)
        # Outside of the handler: Jinja's error, which may quote a value, is not to hang on ours.
        raise failure

    def lines(self, values: Values, clean: bool) -> str:
        return crlf(self.text(values))

    def _failure(self, error: Exception) -> FillError:
        if isinstance(error, UndefinedError):
            said = "something it uses has no value for this recipient; 'is defined' and 'default' help"
        elif isinstance(error, OverflowError | RecursionError | MemoryError):
            said = "it is too much work for one mail: loops, ranges and repetitions have limits"
        else:
            said = f"it fails for this recipient ({type(error).__name__})"
        return FillError(f"{self._place.at(self._line_of(error.__traceback__))}: {said}.")

    def _line_of(self, traceback: TracebackType | None) -> int:
        """The template's line that failed; 0 where it is not known."""
        line = 0
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == "<template>":
                line = self._code.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line

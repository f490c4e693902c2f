"""How much work one mail's template may be: the sandbox that templates run in.

Bounds against accidents: a loop too many, a width that a recipient's field gives. They hold whatever the
fields are, for the mistakes that people make; an author who means to can still keep a worker busy, since the
message is as much the user's own as the worker is. Whatever is too much raises OverflowError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, cast

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_STEPS = 100_000
"""Rounds of all loops together in one rendering; the sandbox allows as many in one range()."""
LONGEST_TEXT = 10_000_000
"""Characters of a filled text, and of whatever is put together on the way to it."""
_ITEMS_A_STEP = 1000
"""So many characters or items that an operator or a call makes count as one round of a loop."""
_LONGEST_PRODUCT = 1_000_000  # characters
_MOST_ITEMS = 1000  # of a list multiplied: lists of lists grow by each
_GREATEST_EXPONENT = 100
_GREATEST_BASE = 10**100
_LONGEST_NUMBER = 40_000  # bits
_WIDEST = 1000

_ROUNDS = "rounds bounded by batchmail"  # the spaces keep both out of an author's reach
_JOINED = "joined text bounded by batchmail"

_GROWING = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs"}
    | {"indent", "wordwrap", "batch", "slice", "join", "replace", "format", "format_map"}
)
"""The filters and methods of text whose result is as long as their arguments say."""
_WIDE_FORMAT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*\d*\.?(?:\*|\d{4})|\{[^{}]*:[^{}]*(?:\d{4}|\{)")
"""A width or precision of four digits and more, or one that is itself a value."""


class BoundedContext(Context):
    """The names of one rendering, and how many steps it has left."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.left = [MOST_STEPS]

    def derived(self, locals: dict[str, Any] | None = None) -> Context:  # noqa: A002 - Jinja's name
        """A scoped block's context draws on the same steps."""
        inner = super().derived(locals)
        if isinstance(inner, BoundedContext):
            inner.left = self.left
        return inner

    def take(self, steps: int) -> None:
        """Take `steps` from those left."""
        self.left[0] -= steps
        if self.left[0] < 0:
            raise OverflowError


def joined(pieces: Iterable[str]) -> str:
    """The pieces as one text; raises OverflowError where it would be too long."""
    kept, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > LONGEST_TEXT:
            raise OverflowError
        kept.append(piece)
    return "".join(kept)


class BoundedEnvironment(SandboxedEnvironment):
    """Jinja's sandbox, strict about unknown names, with bounds; with `html`, values are escaped."""

    context_class = BoundedContext
    concat = staticmethod(joined)
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, html: bool) -> None:
        super().__init__(
            autoescape=html,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        del self.globals["lipsum"]  # unbounded, and nobody mails it
        for name in _GROWING & self.filters.keys():
            self.filters[name] = _guarded(name, self.filters[name])
        self.filters[_ROUNDS] = _rounds
        self.filters[_JOINED] = _made

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Raises OverflowError where what would be made is too large."""
        if operator == "**" and (abs(right) > _GREATEST_EXPONENT or abs(left) > _GREATEST_BASE):
            raise OverflowError
        if operator == "*" and any(
            hasattr(many, "__len__")
            and len(many) * times > (_LONGEST_PRODUCT if isinstance(many, str) else _MOST_ITEMS)
            for many, times in ((left, right), (right, left))
        ):
            raise OverflowError
        if operator == "%" and isinstance(left, str):
            _check_growth("format", left, ())
        return _made(context, super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *given: Any, **named: Any) -> Any:
        """Call what a template calls; raises OverflowError where what would be made is too large."""
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps str.format
        text = getattr(method, "__self__", None)
        if isinstance(text, str) and method.__name__ in _GROWING:
            _check_growth(method.__name__, text, (*given, *named.values()))
        return _made(__context, super().call(__context, __obj, *given, **named))


def bound_tree(tree: nodes.Template) -> None:
    """Put the bounds on loops and on `~` into a parsed template."""
    _Bounding().visit(tree)


class _Bounding(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _through(_ROUNDS, node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _through(_JOINED, node)


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


@pass_context
def _rounds(context: BoundedContext, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        context.take(1)
        yield item


@pass_context
def _made(context: Context, value: Any) -> Any:
    """`value`, which an operator or a call has made, once its size is counted."""
    if isinstance(value, int):
        if value.bit_length() > _LONGEST_NUMBER:
            raise OverflowError
    elif isinstance(value, str | list | tuple | range):
        if len(value) > LONGEST_TEXT:
            raise OverflowError
        if isinstance(context, BoundedContext):
            context.take(len(value) // _ITEMS_A_STEP)
    return value


def _guarded(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    own = 1 + hasattr(work, "jinja_pass_arg")  # Jinja's own argument, and the value

    @wraps(work)
    def filter_(*given: Any, **named: Any) -> Any:
        _check_growth(name, given[own - 1], (*given[own:], *named.values()))
        return work(*given, **named)

    return filter_


def _check_growth(name: str, value: Any, arguments: tuple[Any, ...]) -> None:
    """Raise OverflowError where a filter or method of _GROWING would make far more than it was given."""
    if name in ("format", "format_map"):
        if _WIDE_FORMAT.search(str(value)):
            raise OverflowError
    elif name == "replace":
        old, new = (*map(str, arguments[:2]), "", "")[:2]
        if str(value).count(old) * len(new) > LONGEST_TEXT:
            raise OverflowError
    else:
        many = len(value) if hasattr(value, "__len__") else MOST_STEPS
        for argument in arguments:
            if isinstance(argument, int) and argument > _WIDEST:
                raise OverflowError
            if isinstance(argument, str) and len(argument) * many > LONGEST_TEXT:
                raise OverflowError

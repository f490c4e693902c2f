"""What a person sees: results on stdout, everything else on stderr; and the one way to ask something."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.text import Text

from batchmail.errors import RefusedError
from batchmail.report.phrases import printable

_LABEL = 10
_PATIENCE = 2.0  # seconds without a word
_REMINDER = 5.0


class Screen:
    """The two streams of a command. Texts are printed as they are: never as markup, never wrapped."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            _never_fail(stream)
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches stderr as it moves."""
        return self.err.is_terminal and not self.err.is_dumb_terminal

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    def say(self, text: str = "", style: str = "") -> None:
        """A line on stderr."""
        self.err.print(Text(_lines(text), style=style))

    def fact(self, label: str, text: str, style: str = "") -> None:
        """A labelled line on stderr."""
        self.err.print(Text.assemble((f"{label:<{_LABEL}}", "dim"), (_lines(text), style)))

    def more(self, text: str, style: str = "dim") -> None:
        """A line on stderr that belongs to the fact above it."""
        self.say(f"{'':{_LABEL}}{text}", style)

    def error(self, text: str) -> None:
        """What went wrong, as one line on stderr."""
        self.err.print(Text.assemble(("error: ", "bold red"), " ".join(printable(text).split())))

    def result(self, text: str, style: str = "") -> None:
        """A line on stdout: what the command came to."""
        self._out.print(Text(_lines(text), style=style))

    def result_fact(self, label: str, text: str) -> None:
        """A labelled line on stdout."""
        self._out.print(Text.assemble((f"  {label:<{_LABEL}}", "dim"), _lines(text)))

    def object(self, text: str) -> None:
        """The one JSON object on stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    async def ask(self, question: str, otherwise: str = "nothing was mailed") -> None:
        """Return when the person says yes; raise RefusedError otherwise."""
        self.err.print(Text.assemble((f"{_lines(question)} ", "bold"), ("[y/N] ", "dim")), end="")
        answer = await _typed_line()
        if not answer.endswith("\n"):
            self.say()
        if answer.strip().lower() not in ("y", "yes"):
            raise RefusedError(f"You did not say yes: {otherwise}.")

    @contextmanager
    def during(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Say what is being done while it takes more than two seconds.

        Gives a function that is told of news on the way ("120,000 rows").
        """
        began = time.monotonic()
        next_word = began + _PATIENCE
        loop = asyncio.get_running_loop()
        status = self.err.status(Text(doing)) if self.is_terminal else None
        news = ""

        def show() -> None:
            nonlocal next_word
            text = f"{doing}{news and f': {news}'} …"
            if status is not None:
                status.update(Text(text))
                status.start()
            else:
                self.say(text)
            next_word = time.monotonic() + _REMINDER

        def tell(text: str) -> None:
            nonlocal news
            news = text
            if time.monotonic() >= next_word or (status is not None and timer.when() <= loop.time()):
                show()

        timer = loop.call_later(_PATIENCE, show)
        try:
            yield tell
        finally:
            timer.cancel()
            if status is not None:
                status.stop()


async def _typed_line() -> str:
    """A line from the terminal, waited for in the event loop: a thread in `input` could not be given up."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[None] = loop.create_future()
    handle = sys.stdin.fileno()

    def readable() -> None:
        if not typed.done():
            typed.set_result(None)

    loop.add_reader(handle, readable)
    try:
        await typed
    finally:
        loop.remove_reader(handle)
    return sys.stdin.readline()


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _never_fail(stream: TextIO) -> None:
    """A terminal that cannot show a character shows another, and is no reason to stop."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def json_line(values: dict[str, object]) -> str:
    """One JSON object on one line, in ASCII, so that no stream can spoil the path of a report."""
    return json.dumps(values, ensure_ascii=True, separators=(", ", ": "))

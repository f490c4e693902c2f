"""Numbers, times and commands as a person reads them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def count(number: int, noun: str) -> str:
    """`1 recipient`, `12,000 recipients`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def span(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def about(seconds: float) -> str:
    """The same in whole seconds: `6 s`, `1 min 40 s`."""
    return span(round(seconds)) if seconds >= 9.95 else f"{max(1, round(seconds))} s"


def near(path: Path) -> str:
    """The path as seen from here, where that is shorter."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def printable(text: str) -> str:
    """`text` without anything a terminal would obey: what a list or a message holds is not ours to trust."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def command_to_attach(arguments: Sequence[str], batch_id: str) -> str:
    """The command that attaches to this batch again: this one, without what would start another."""
    kept = [one for one in arguments if one not in ("--again", "--detach", "--yes", "-y")]
    if "--again" in arguments and not any(one.split("=")[0] == "--batch-id" for one in kept):
        kept += ["--batch-id", batch_id]
    return shlex.join(["python", "starter.py", *kept])

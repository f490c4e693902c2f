"""Get a program once: whole or not at all, one process at a time, and saying so when it takes long."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from batchmail.engine.waiting import Ended, Wait, locked
from batchmail.errors import EngineError


def once(target: Path, get: Callable[[Path], Ended], advice: str) -> Path:
    """`target`, got first where it is not there.

    `get` is given an empty folder beside it, and moves what it got from there to `target`.

    Raises EngineError with `get`'s last words and the advice what to install by hand.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f"{target.name}.lock")
    with locked(lock, wait(f"Waiting for another process that gets {target.name} …", 30)):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="new-") as folder:
                ended = get(Path(folder))
            if not ended.ok:
                raise EngineError(f"{target.name} cannot be had ({ended.last_words}): {advice} by hand.")
    return target


def wait(text: str, minutes: float) -> Wait:
    """A wait that is told on stderr."""
    return Wait(text, seconds=minutes * 60, say=say, given_up=threading.Event())


def say(text: str) -> None:
    """Tell it on stderr."""
    print(text, file=sys.stderr, flush=True)

"""Bounded waiting that speaks: a person is told what goes on, and can end it.

Everything here blocks its thread; callers in an event loop use a thread of their own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from batchmail.errors import EngineError

Say = Callable[[str], None]

_POLL = 0.02  # seconds between two looks
_PATIENCE = 2.0  # seconds of silence before the first word
_REMINDER = 10.0  # seconds between two words after that


class Wait:
    """A wait for something, of at most `seconds`: says `text` when it takes longer than two seconds, and
    again every ten.

    Raises EngineError as soon as `given_up` is set.
    """

    def __init__(self, text: str, *, seconds: float, say: Say, given_up: threading.Event) -> None:
        self._text, self._say, self._given_up = text, say, given_up
        self._began = time.monotonic()
        self._until = self._began + seconds
        self._next_word = self._began + _PATIENCE

    def again(self) -> bool:
        """Pause a moment; False once the time is over."""
        now = time.monotonic()
        if now >= self._next_word:
            elapsed = f" ({now - self._began:.0f} s)" if now - self._began > _REMINDER else ""
            self._say(f"{self._text}{elapsed}")
            self._next_word = now + _REMINDER
        if self._given_up.wait(_POLL):
            raise EngineError(f"Given up: {self._text}")
        return now < self._until


@contextmanager
def locked(path: Path, wait: Wait) -> Iterator[None]:
    """Hold the file's exclusive lock, which the kernel releases when this process dies, however it dies.

    Raises EngineError when another process keeps it longer than `wait`.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not try_lock(handle):
            if not wait.again():
                raise EngineError(f"{path} is locked by another process for too long: end that one first.")
        yield
    finally:
        unlock(handle)


def unlock(handle: int) -> None:
    """Release an open file's lock and close it.

    Closing alone would leave the lock to a process that is being forked just now.
    """
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def try_lock(handle: int) -> bool:
    """Take the exclusive lock of an open file, or say at once that somebody has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(file: Path) -> bool:
    """Whether some process holds the file's exclusive lock; one that is not there is held by nobody."""
    try:
        handle = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    if try_lock(handle):
        unlock(handle)
        return False
    os.close(handle)
    return True


class Ended(NamedTuple):
    """How a command ended."""

    ok: bool
    last_words: str


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], wait: Wait) -> Ended:
    """Run a command that may take minutes; it and its children end with `wait`.

    The command has a session of its own, so that a Ctrl-C meant for us does not tear its files.
    """
    log = cwd / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            if not wait.again():
                return Ended(False, "it took too long")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Ended(process.returncode == 0, last_line(log))


def last_line(log: Path) -> str:
    """The last line of a log that says something, cut to a readable length."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

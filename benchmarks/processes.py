"""Processes of a benchmark: started, measured and ended by their pid."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from batchmail.engine.waiting import last_line

CHECKOUT = Path(__file__).resolve().parent.parent

_READY = 30.0  # seconds until a process must be ready
_END = 30.0  # seconds for a process to end by itself
_OURS = ("TEMPORAL_", "SMTP_", "BATCH_", "MAIL_FROM", "ADMIN_EMAIL")


class BenchmarkError(Exception):
    """Something broke, or somebody was not mailed exactly once: the figures mean nothing."""


class Running(NamedTuple):
    """A running process and the file of all it printed."""

    pid: int
    log: Path


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's environment, with these settings of ours and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return others | settings


@contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    *,
    name: str,
    ready: Callable[[], bool],
    settings: dict[str, str] | None = None,
) -> Iterator[Running]:
    """A process while the context lasts, from the moment it is `ready`.

    It runs in `folder` and in a session of its own, so that a Ctrl-C does not meet it before we end it.
    Raises BenchmarkError when it ends or is not ready in time.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + _READY
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise BenchmarkError(f"{name} is not ready; its last words: {last_line(log) or 'none'}")
            time.sleep(0.02)
        yield Running(process.pid, log)
    finally:
        end(process, signal.SIGTERM)


def finished(
    command: Sequence[str], folder: Path, *, name: str, seconds: float, settings: dict[str, str] | None = None
) -> str:
    """Run a process to its end, within `seconds`; returns its stdout.

    Raises BenchmarkError when it fails or takes longer.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment({"PYTHONPATH": str(CHECKOUT)} | (settings or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{name} takes longer than {seconds:.0f} s: {last_line(log)}") from None
    finally:
        end(process, signal.SIGINT)
    if process.returncode != 0:
        raise BenchmarkError(f"{name} failed with exit code {process.returncode}: {last_line(log)}")
    return said


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str], first: signal.Signals) -> None:
    """End the process if it still runs: asked by `first`, then by force."""
    if process.poll() is not None:
        return
    process.send_signal(first)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END)
        return
    process.kill()
    process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far; NaN where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree_cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its children, those that have ended included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return math.nan
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return own + sum(tree_cpu_seconds(int(child)) for child in children)


def peak_megabytes(pid: int) -> float:
    """The most memory that a process has held; NaN where the system has no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if "VmHWM" in line), math.nan)

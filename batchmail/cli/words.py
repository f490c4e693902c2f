"""Times to come, paths and commands as a person at the terminal reads them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from batchmail.locations import path_meant
from batchmail.report.phrases import span


def about(seconds: float) -> str:
    """A span in whole seconds: `6 s`, `1 min 40 s`."""
    return span(round(seconds)) if seconds >= 9.95 else f"{max(1, round(seconds))} s"


def near(place: str) -> str:
    """A path as seen from here, where that is shorter; a URL as it is."""
    try:
        return str(Path(place).resolve().relative_to(Path.cwd())) if path_meant(place) else place
    except (ValueError, OSError):
        return place


def command_to_attach(arguments: Sequence[str], batch_id: str) -> str:
    """The command that attaches to this batch again: this one, without what would start another."""
    kept = [one for one in arguments if one not in ("--again", "--detach", "--yes", "-y")]
    if "--again" in arguments and not any(one.split("=")[0] == "--batch-id" for one in kept):
        kept += ["--batch-id", batch_id]
    return shlex.join(["python", "starter.py", *kept])

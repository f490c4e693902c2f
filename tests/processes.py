"""Which processes a test started: found by a mark in their environment."""

from __future__ import annotations

import os
from pathlib import Path


def processes_with(mark: str) -> dict[int, str]:
    """Pid and command of every other process that carries `mark`; none where there is no /proc to look in.

    The environment is inherited, however deep, and whoever has become the parent.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark.encode() in (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marked and int(folder.name) != os.getpid():
            found[int(folder.name)] = command.strip()
    return found

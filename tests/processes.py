"""The environment of what tests start: none of the developer's own settings, and a mark to find it by."""

from __future__ import annotations

import os
from pathlib import Path

# A developer's own settings would reach the tests; the path of a program installed already may.
_SETTINGS = ("TEMPORAL_", "SMTP_", "BATCH_", "OTEL_", "AWS_", "GOOGLE_", "AZURE_", "MAIL_FROM", "ADMIN_EMAIL")
_MAY_STAY = "BATCH_TEMPORAL_CLI"


def forget_settings() -> None:
    """Take the developer's own settings out of this process's environment."""
    for name in tuple(os.environ):
        if name.startswith(_SETTINGS) and name != _MAY_STAY:
            del os.environ[name]
    os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull


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

"""A development server that suggests to continue as new after few events, where a real one says 4,096."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import Settings

_PROGRAM = """\
#!/bin/sh
[ "$1" = server ] && set -- "$@" --dynamic-config-value limit.historyCount.suggestContinueAsNew={events}
exec {temporal} "$@"
"""


@contextmanager
def early_server(folder: Path, events: int) -> Iterator[str]:
    """The address of a server in this folder that suggests it after so many events."""
    program = folder / "temporal"
    program.write_text(
        _PROGRAM.format(events=events, temporal=find_temporal(Settings().batch_temporal_cli, print))
    )
    program.chmod(0o700)
    with DevServer(folder / "state", print, cli=program, usual=any_free()) as running:
        yield running.address

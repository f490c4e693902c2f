"""Run Postgres, the production Temporal server and its Web UI, until Ctrl-C: `make server`.

Data is kept in the state folder. What is set in .env or the shell counts as it does for docker-compose.yml:
TEMPORAL_RETENTION, TEMPORAL_NAMESPACE, TEMPORAL_PORT, TEMPORAL_UI_PORT.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from dotenv import dotenv_values

from batchmail.errors import BatchmailError, EngineError, SettingsError
from batchmail.settings import CHECKOUT, DOTENV, read_settings
from scripts.server.stack import Stack

_A_LOOK = 0.5  # seconds


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, help="keep the data here (var/server)")
    parser.add_argument("--any-ports", action="store_true", help="take any free ports, not the usual ones")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        folder = options.folder or read_settings().batch_state / "server"
        return _serve(folder, any_ports=options.any_ports)
    except BatchmailError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


class _Leave(BaseException):
    """Somebody wants us to end."""


def _leave(number: int, frame: FrameType | None) -> None:
    # Once is enough: what follows must not be interrupted.
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise _Leave


def _serve(folder: Path, *, any_ports: bool) -> int:
    variables = {name: value for name, value in dotenv_values(CHECKOUT / DOTENV).items() if value is not None}
    variables |= os.environ
    ports = _port(variables, "TEMPORAL_PORT", 7233), _port(variables, "TEMPORAL_UI_PORT", 8080)
    stack = Stack(folder, ui=True, variables=variables, usual_ports=None if any_ports else ports)
    try:
        with stack:
            _tell(stack, folder)
            while all(server.process.is_running for server in stack.servers):
                time.sleep(_A_LOOK)
            ended = next(server.process for server in stack.servers if not server.process.is_running)
            raise EngineError(
                f"{ended.name} has ended, and its last words in {ended.log} are {ended.last_words!r}."
            )
    except _Leave:
        return 0


def _port(variables: Mapping[str, str], name: str, usual: int) -> int:
    told = variables.get(name) or str(usual)
    if not told.isascii() or not told.isdigit() or not 0 < int(told) < 65_536:
        raise SettingsError(f"{name}: {told!r} is no port: give a number from 1 to 65535.")
    return int(told)


def _tell(stack: Stack, folder: Path) -> None:
    namespace = "" if stack.namespace == "default" else f" TEMPORAL_NAMESPACE={stack.namespace}"
    print(
        f"Temporal is up, on Postgres; its data lies in {folder}.\n\n"
        f"  For worker and starter, in .env or the shell:  TEMPORAL_ADDRESS={stack.address}{namespace}\n"
        f"  Web UI:  {stack.ui_url}\n\n"
        "Ctrl-C stops it; the data stays.",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

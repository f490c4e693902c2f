"""One program of the stack: started in a session of its own, and known by a file that it holds locked.

The file holds the pid, and the program has it as standard input, locked: so the lock lives as long as the
program, and the pid is believed only while it is locked. Whoever comes after a killed run finds by it what
that run left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from batchmail.engine.waiting import Wait, is_held, last_line, try_lock

# The shell becomes the program, so it knows the pid, and the file is complete before the program runs.
_WRITE_AND_BECOME = """echo "$$" >&0; exec "$@" """


_A_LOOK = 0.005  # seconds until the kernel has ended what was killed


class Process:
    """The program called `name` of the stack in `folder`, running or not."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._folder, self._record = folder, folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start it; what it prints goes to its log. It must not be running."""
        record = os.open(self._record, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(record):
                raise AssertionError(f"{self.name} is running already")
            os.ftruncate(record, 0)
            with self.log.open("wb") as log:
                self.log.chmod(0o600)
                self._child = subprocess.Popen(  # noqa: S603
                    ["/bin/sh", "-c", _WRITE_AND_BECOME, "sh", *map(str, command)],
                    cwd=self._folder,
                    env=environment,
                    stdin=record,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            os.close(record)

    @property
    def is_running(self) -> bool:
        """Whether the program, or a child of its that has its standard input, runs."""
        if self._child is not None:
            self._child.poll()
        return is_held(self._record)

    @property
    def pid(self) -> int | None:
        """Its pid, while it runs."""
        written = self._record.read_text().strip() if self.is_running else ""
        return int(written) if written else None

    def stop(self, number: signal.Signals, wait: Wait) -> None:
        """Ask it to end, and end it by force, with its children, when `wait` is over."""
        if (pid := self.pid) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while self.is_running:
            if not wait.again():
                self.kill()
                break

    def kill(self) -> None:
        """End it and all its children as a power cut would (SIGKILL)."""
        if (pid := self.pid) is None:
            return
        for each in (pid, *_descendants(pid)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        while self.is_running:
            time.sleep(_A_LOOK)

    @property
    def lost_its_port(self) -> bool:
        """Whether it ended since another program was quicker to take one of its ports."""
        return "address already in use" in self.log.read_text(errors="replace").lower()

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        return last_line(self.log)


def _descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)  # noqa: S607
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.stdout.splitlines())}
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def outside(**changed: str) -> dict[str, str]:
    """Our environment without what would configure a program of the stack, and without the relay's."""
    others = ("TEMPORAL_", "SMTP_", "SQL_", "POSTGRES_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)} | changed

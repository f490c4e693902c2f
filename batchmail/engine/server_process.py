"""The development server's process, and the file by which every other process knows it.

`temporal.json` holds pid and ports, and the server itself holds an exclusive lock on it: the file is the
standard input it was started with. So the lock lives exactly as long as the server, and the file is
believed only while it is locked: a stale one, whatever program has its pid by now, never is.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from batchmail.engine.ports import LOOPBACK, Ports
from batchmail.engine.waiting import Wait, is_held, last_line, try_lock

# The shell becomes the server, so it knows the pid, and the file is complete before the server runs.
# The database, which names lists and admins, is its owner's alone.
_WRITE_AND_BECOME = """
umask 077
printf '{"pid": %d, "port": %d, "ui_port": %d}\\n' "$$" "$1" "$2" >&0
shift 2
exec "$@"
"""

# The development server serves one user, so none of Temporal's limits for a shared one shall slow it down.
_LIMITS = (
    "frontend.rps",
    "frontend.namespaceRPS",
    "frontend.namespaceRPS.visibility",
    "history.rps",
    "matching.rps",
    "frontend.persistenceMaxQPS",
    "history.persistenceMaxQPS",
    "matching.persistenceMaxQPS",
)

# Of a workflow's heartbeat time-outs the server keeps the timer of the earliest alone; when that fires, those
# that are due by then are put off by this shift. With Temporal's own (1 s) a dead worker's first slice was
# given up on time, and all the others a second later.
# A poll that a frozen worker, or a crash of the database, holds up takes tasks to nobody until it expires.
# With Temporal's own (a minute) slices waited that long for their batch's answer.
_OTHER_VALUES = (
    'history.timerProcessorMaxTimeShift="100ms"',
    'matching.longPollExpirationInterval="10s"',
)

_LOOKS, _A_LOOK = 200, 0.005

# Each commit is fsynced before it is acknowledged, as with SQLite's default journal, but only once.
_DURABLE = ("journal_mode=wal", "synchronous=full")


class Living(BaseModel):
    """A development server that runs: what `temporal.json` says of it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    port: int
    ui_port: int

    @property
    def ports(self) -> Ports:
        """Both ports."""
        return Ports(self.port, self.ui_port)


class ServerFiles(NamedTuple):
    """The server's files in the state folder."""

    state: Path

    @property
    def record(self) -> Path:
        """Pid and ports of the server, locked by the server itself."""
        return self.state / "temporal.json"

    @property
    def database(self) -> Path:
        """Temporal's SQLite database."""
        return self.state / "temporal.db"

    @property
    def log(self) -> Path:
        """What the server printed since its last start."""
        return self.state / "temporal.log"

    def make_private(self) -> None:
        """Leave database, its journal and log to their owner alone: earlier versions let everybody read."""
        for file in (self.log, *self.state.glob(f"{self.database.name}*")):
            with suppress(FileNotFoundError, PermissionError):
                file.chmod(0o600)


def is_running(files: ServerFiles) -> bool:
    """Whether a server runs on this state folder, answering or not."""
    return is_held(files.record)


def read(files: ServerFiles) -> Living | None:
    """What the record says; None when there is none, or it is not written yet."""
    try:
        return Living.model_validate_json(files.record.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def launch(program: Path, files: ServerFiles, ports: Ports) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own: neither a Ctrl-C meant for us nor our death reaches it.

    Must be called under the start lock, and only when no server is running.
    """
    options = ["--ip", LOOPBACK, "--port", str(ports.temporal), "--ui-port", str(ports.ui)]
    options += ["--db-filename", str(files.database), "--log-level", "warn"]
    for pragma in _DURABLE:
        options += ["--sqlite-pragma", pragma]
    for value in (*(f"{name}=1000000" for name in _LIMITS), *_OTHER_VALUES):
        options += ["--dynamic-config-value", value]
    command = [str(program), "server", "start-dev", *options]
    record = os.open(files.record, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock_for_good(record)
        os.ftruncate(record, 0)
        with files.log.open("wb") as log:
            files.make_private()
            return subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", _WRITE_AND_BECOME, "sh", *map(str, ports), *command],
                cwd=files.state,
                env=_environment(),
                stdin=record,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    finally:
        os.close(record)


def _lock_for_good(record: int) -> None:
    """Lock the record. Somebody who looks whether a server runs (`is_running`) holds it for a moment."""
    for _ in range(_LOOKS):
        if try_lock(record):
            return
        time.sleep(_A_LOOK)
    raise AssertionError("a server is running already")


def _environment() -> dict[str, str]:
    """Ours without what would configure Temporal's command line, and without our own settings' secrets."""
    theirs_or_ours = ("TEMPORAL_", "SMTP_", "BATCH_", "AWS_", "AZURE_", "GOOGLE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs_or_ours)}


def is_ready(files: ServerFiles, ports: Ports) -> bool:
    """Whether this very server answers, and its Web UI, and the namespace is there."""
    return _has_announced(files, ports) and _answers(ports)


def _has_announced(files: ServerFiles, ports: Ports) -> bool:
    """Whether the server has printed its port, which it does once it has it.

    Until then an answer may come from another program's server that was quicker to take the port.
    """
    printed = files.log.read_text(errors="replace")
    return re.search(rf"^(?!time=).*:{ports.temporal}\b", printed, re.MULTILINE) is not None


def _answers(ports: Ports) -> bool:
    try:
        # First the server, since the UI waits a second after a failed call to it.
        socket.create_connection((LOOPBACK, ports.temporal), timeout=2).close()
        connection = http.client.HTTPConnection(LOOPBACK, ports.ui, timeout=2)
        try:
            connection.request("GET", "/api/v1/namespaces/default")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def lost_its_port(files: ServerFiles) -> bool:
    """Whether the server ended since another program took one of its ports."""
    return "address already in use" in files.log.read_text(errors="replace")


def last_words(files: ServerFiles) -> str:
    """The log's last line."""
    return last_line(files.log)


def stop(files: ServerFiles, living: Living, wait_to_stop: Wait, wait_to_die: Wait) -> bool:
    """End the server, by force when it does not end by itself; says whether it is gone."""
    for number, wait in ((signal.SIGTERM, wait_to_stop), (signal.SIGKILL, wait_to_die)):
        with suppress(ProcessLookupError):
            os.kill(living.pid, number)
        while is_running(files):
            if not wait.again():
                break
        else:
            break
    with suppress(ChildProcessError):
        os.waitpid(living.pid, os.WNOHANG)
    return not is_running(files)

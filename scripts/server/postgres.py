"""A private Postgres cluster in a folder: initdb once, and a server on loopback that fsyncs its commits."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

from batchmail.engine.ports import LOOPBACK
from batchmail.engine.waiting import Say, Wait, run
from batchmail.errors import EngineError
from scripts.server.compose import Service
from scripts.server.ports import choose
from scripts.server.process import Process, outside
from scripts.tools import postgres

_START, _STOP = 60.0, 60.0  # seconds


class Connection(NamedTuple):
    """How a client reaches the cluster."""

    host: str
    port: int
    user: str
    password: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which psql, pg_dump and every other client of libpq find it."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
        }


class Postgres:
    """The cluster; `service` is Compose's description of the container it stands for.

    `port` is taken where it is free at the first start, and kept from then on.
    """

    def __init__(self, folder: Path, say: Say, service: Service, *, port: int | None = None) -> None:
        self._folder, self._say, self._service = folder, say, service
        self._data = folder / "postgres"
        self.process = Process("postgres", folder)
        self._port, self._is_settled = port, False
        self.password_file = folder / "postgres-password"
        self.programs = postgres()

    @property
    def connection(self) -> Connection:
        """How to reach it, once it has been started."""
        assert self._port is not None, "never started"
        user = self._service.environment["POSTGRES_USER"]
        return Connection(LOOPBACK, self._port, user, self.password_file.read_text())

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises EngineError."""
        if not self._data.exists():
            self._make()
        # Nobody holds the process's file, so whoever had this pid file is dead, whatever has its pid now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for _ in range(5):
            if not self._is_settled:
                (self._port,) = choose(1, [self._port])
            self.process.launch(self._command(), outside())
            waiting = self._wait("Starting Postgres …", _START)
            while self.process.is_running and waiting.again():
                if self._is_ready():
                    self._is_settled = True
                    return
            self.process.kill()
            if self._is_settled or not self.process.lost_its_port:
                break
            self._port = None
        raise EngineError(
            f"Postgres did not come up: see {self.process.log}, which ends with {self.process.last_words!r}."
        )

    def stop(self) -> None:
        """Its fast shutdown: connections are closed, what is in memory is written down."""
        self.process.stop(signal.SIGINT, self._wait("Stopping Postgres …", _STOP))

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children at once."""
        self.process.kill()

    def query(self, database: str, sql: str) -> str:
        """What psql answers: a line a row, columns parted by `|`."""
        command = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
        return self._client(command).decode()

    def dump(self, database: str) -> bytes:
        """The whole database as SQL, a statement a row."""
        return self._client(["pg_dump", "--inserts", database])

    def _client(self, command: list[str]) -> bytes:
        program, *rest = command
        ended = subprocess.run(  # noqa: S603
            [self.programs / program, *rest],
            env={**outside(), **self.connection.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if ended.returncode:
            raise EngineError(f"{program}: {ended.stderr.decode(errors='replace').strip()}")
        return ended.stdout

    def _make(self) -> None:
        """The cluster, whole or not at all."""
        new = self._folder / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if owner := _owner():
            os.chown(new, owner.pw_uid, owner.pw_gid)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(24))
        options = shlex.split(self._service.environment.get("POSTGRES_INITDB_ARGS", ""))
        command = [*_as_owner(), self.programs / "initdb", "--pgdata", new]
        command += ["--username", self._service.environment["POSTGRES_USER"]]
        command += ["--pwfile", self.password_file, *options]
        logs = self._folder / "initdb"
        logs.mkdir(exist_ok=True)
        waiting = self._wait("Making a Postgres cluster …", _START)
        ended = run([str(word) for word in command], cwd=logs, env=outside(), wait=waiting)
        if not ended.ok:
            raise EngineError(f"Postgres's initdb failed ({ended.last_words}): see {logs / 'output.log'}.")
        shutil.rmtree(logs)
        new.rename(self._data)

    def _command(self) -> list[str | Path]:
        """The container's command, on our folder and port."""
        program, *options = self._service.command
        settings = {"port": self._port, "listen_addresses": LOOPBACK, "unix_socket_directories": ""}
        ours = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*_as_owner(), self.programs / program, "-D", self._data, *options, *ours]

    def _is_ready(self) -> bool:
        """Whether this very postmaster says so in its pid file, whose eighth line is its state."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _wait(self, text: str, seconds: float) -> Wait:
        return Wait(text, seconds=seconds, say=self._say, given_up=threading.Event())


def _owner() -> pwd.struct_passwd | None:
    """Who runs Postgres, which refuses to be run by root; None is whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EngineError("Postgres does not run as root, and there is no user `postgres` or `nobody`: add one.")


def _as_owner() -> list[str]:
    """What becomes the owner, who may look into folders of ours on the way to its own, and no more."""
    owner = _owner()
    if owner is None:
        return []
    ids = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    capability = "-all,+dac_read_search"
    return ["setpriv", *ids, f"--inh-caps={capability}", f"--ambient-caps={capability}", "--"]

"""The production Temporal server on the stack's Postgres, its schema and its namespace."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import yaml

from batchmail.engine.ports import LOOPBACK
from batchmail.engine.waiting import Say, Wait, run
from batchmail.errors import EngineError
from batchmail.settings import CHECKOUT
from scripts.server.compose import Service
from scripts.server.faults import Faults, configuration
from scripts.server.http import answers
from scripts.server.ports import choose
from scripts.server.postgres import Postgres
from scripts.server.process import Process, outside
from scripts.tools import temporal, temporal_server, temporal_sql_tool

SCRIPTS = CHECKOUT / "deploy" / "temporal"

_PORTS = (
    "FRONTEND_GRPC_PORT",
    "FRONTEND_HTTP_PORT",
    "FRONTEND_MEMBERSHIP_PORT",
    "HISTORY_GRPC_PORT",
    "HISTORY_MEMBERSHIP_PORT",
    "MATCHING_GRPC_PORT",
    "MATCHING_MEMBERSHIP_PORT",
    "WORKER_GRPC_PORT",
    "WORKER_MEMBERSHIP_PORT",
)
_START, _ONE_SHOT = 90.0, 120.0  # seconds
# Its own workers may take long to notice that it is leaving. What it has answered lies in Postgres anyway.
_STOP = 5.0


class Temporal:
    """The server; `services` is Compose's description of the containers it stands for."""

    def __init__(
        self,
        folder: Path,
        say: Say,
        services: Mapping[str, Service],
        postgres: Postgres,
        *,
        ports: tuple[int | None, ...],
        dynamic_config: Mapping[str, object],
        environment: Mapping[str, str],
        faults: Faults | None,
        seed: int,
    ) -> None:
        self._folder, self._say, self._services, self._postgres = folder, say, services, postgres
        self._dynamic_config, self._extra = dynamic_config, environment
        self._faults, self._seed = faults, seed
        self._ports, self._is_settled = ports, False
        self.process = Process("temporal", folder)

    @property
    def ports(self) -> tuple[int, ...]:
        """All its ports; the first one is for clients."""
        return tuple(port for port in self._ports if port is not None)

    @property
    def address(self) -> str:
        """Host and port for a client."""
        return f"{LOOPBACK}:{self.ports[0]}"

    @property
    def namespace(self) -> str:
        """The namespace that is made."""
        return self._services["temporal-namespace"].environment["TEMPORAL_NAMESPACE"]

    def prepare(self) -> None:
        """Databases and schema, made or brought up to this version. Raises EngineError."""
        connection = self._postgres.connection
        self._one_shot(
            "temporal-schema",
            {
                "SQL_HOST": connection.host,
                "SQL_PORT": str(connection.port),
                "SQL_PASSWORD_FILE": str(self._postgres.password_file),
            },
        )
        # Whoever served this data before, on other ports, has ended. Else the server would wait for them to
        # answer before it gives out work: three quarters of a minute.
        database = self._services["temporal"].environment["DBNAME"]
        self._postgres.query(database, "DELETE FROM cluster_membership")

    def start(self) -> None:
        """Start it and wait until it answers. Raises EngineError."""
        for _ in range(5):
            if not self._is_settled:
                self._ports = choose(len(_PORTS), self._ports)
            script = SCRIPTS / Path(self._services["temporal"].entrypoint[-1]).name
            self.process.launch(["/bin/sh", script], self._environment())
            waiting = self._wait("Starting the Temporal server …", _START)
            while self.process.is_running and waiting.again():
                if self._answers("/api/v1/system-info"):
                    self._is_settled = True
                    return
            self.process.kill()
            if self._is_settled or not self.process.lost_its_port:
                break
            self._ports = ()
        raise EngineError(f"The Temporal server did not come up ({self._reason}): see {self.process.log}.")

    @property
    def _reason(self) -> str:
        """The server's own words for its end, without the places in its code that it names before."""
        lines = self.process.log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return last.rpartition(".go:")[2].partition("): ")[2].strip(" .") or last.strip()[:300]

    def make_namespace(self) -> None:
        """The namespace with its retention, made or changed; and wait until it is served."""
        self._one_shot("temporal-namespace", {"TEMPORAL_ADDRESS": self.address})
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the namespace is served. Raises EngineError."""
        waiting = self._wait(f"Waiting for Temporal's namespace {self.namespace} …", _START)
        while not self._answers(f"/api/v1/namespaces/{self.namespace}/workflows?pageSize=1"):
            if not self.process.is_running or not waiting.again():
                raise EngineError(
                    f"Temporal's namespace {self.namespace} is not served: see {self.process.log}."
                )

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and wait until it has."""
        self.process.stop(signal.SIGTERM, self._wait("Stopping the Temporal server …", _STOP))

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def _environment(self) -> dict[str, str]:
        """The container's, with our addresses, ports and paths."""
        connection = self._postgres.connection
        found = {
            **self._outside(),
            **self._services["temporal"].environment,
            "POSTGRES_SEEDS": connection.host,
            "DB_PORT": str(connection.port),
            "POSTGRES_PWD_FILE": str(self._postgres.password_file),
            "DYNAMIC_CONFIG_FILE_PATH": str(self._write_dynamic_config()),
            "BIND_ON_IP": LOOPBACK,
            **{name: str(port) for name, port in zip(_PORTS, self.ports, strict=True)},
            **self._extra,
        }
        if self._faults is None:
            return found
        known = {**found, "POSTGRES_PWD": connection.password}
        file = self._folder / "temporal.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(configuration(self._faults, known, seed=self._seed)))
        return {**found, "TEMPORAL_SERVER_CONFIG_FILE_PATH": str(file)}

    def _write_dynamic_config(self) -> Path:
        """Compose's dynamic configuration with the additions of this stack."""
        name = Path(self._services["temporal"].environment["DYNAMIC_CONFIG_FILE_PATH"]).name
        content = yaml.safe_load((SCRIPTS / name).read_text()) or {}
        content |= {key: [{"value": value}] for key, value in self._dynamic_config.items()}
        target = self._folder / name
        target.write_text(yaml.safe_dump(content))
        return target

    def _one_shot(self, service: str, ours: Mapping[str, str]) -> None:
        """Run a one-shot service's script to its end."""
        described = self._services[service]
        script = SCRIPTS / Path(described.words[-1]).name
        folder = self._folder / service
        folder.mkdir(exist_ok=True)
        ended = run(
            ["/bin/sh", str(script)],
            cwd=folder,
            env={**self._outside(), **described.environment, **ours},
            wait=self._wait(f"Running {service} …", _ONE_SHOT),
        )
        if not ended.ok:
            raise EngineError(f"{script.name} failed ({ended.last_words}): see {folder / 'output.log'}.")
        shutil.rmtree(folder)

    def programs(self) -> Path:
        """The folder with Temporal's programs under the names they have in its images."""
        folder = self._folder / "bin"
        folder.mkdir(exist_ok=True)
        programs = {
            "temporal": temporal(),
            "temporal-server": temporal_server(),
            "temporal-sql-tool": temporal_sql_tool(),
        }
        for name, program in programs.items():
            link = folder / name
            if not link.is_symlink() or link.readlink() != program:
                link.unlink(missing_ok=True)
                link.symlink_to(program)
        return folder

    def _outside(self) -> dict[str, str]:
        return outside(PATH=f"{self.programs()}:{os.environ['PATH']}")

    def _answers(self, path: str) -> bool:
        return answers(self.ports[1], path)

    def _wait(self, text: str, seconds: float) -> Wait:
        return Wait(text, seconds=seconds, say=self._say, given_up=threading.Event())

"""The whole stack in one folder: Postgres, the Temporal server on it, and the Web UI where it is wanted.

Its life: the folder's lock is held by whoever runs the stack, and released by the kernel when that process
dies, however it dies. What a killed run left behind is ended by the next one, which goes on with the data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from batchmail.engine.ports import LOOPBACK
from batchmail.engine.waiting import Say, try_lock, unlock
from batchmail.errors import EngineError
from scripts.server.compose import read_services
from scripts.server.faults import Faults
from scripts.server.postgres import Postgres
from scripts.server.temporal import Temporal
from scripts.server.ui import Ui
from scripts.tools.once import say as say_on_stderr


class Record(BaseModel):
    """Who runs the folder's stack, or ran it last, and on which ports."""

    model_config = ConfigDict(frozen=True)

    pid: int
    postgres: int
    temporal: tuple[int, ...]
    ui: int | None


class Stack:
    """The stack of a folder: entering starts it, leaving stops it; its data stays.

    `variables` are to docker-compose.yml what `.env` and the shell are; `retention` is one of them,
    TEMPORAL_RETENTION. `dynamic_config` is added to Temporal's, `server_environment` to its environment.
    Each port is the folder's former one where that is free, else the one in `usual_ports` (Temporal's, the
    Web UI's), else any.

    `faults` make Temporal's calls to its database fail, drawn by `seed` (see faults.py).

    Where another process runs the folder's stack, an object that is not started tells how to reach it.
    """

    def __init__(
        self,
        folder: Path,
        say: Say = say_on_stderr,
        *,
        retention: timedelta | None = None,
        dynamic_config: Mapping[str, object] | None = None,
        ui: bool = False,
        server_environment: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        usual_ports: tuple[int, int] | None = None,
        faults: Faults | None = None,
        seed: int = 1,
    ) -> None:
        self._folder = folder.expanduser().resolve()
        self._lock: int | None = None
        self._lock_file = self._folder / "server.lock"
        own = {"TEMPORAL_RETENTION": f"{int(retention.total_seconds())}s"} if retention else {}
        services = read_services({**(variables or {}), **own})
        former = self._read()
        port, ui_port = usual_ports or (None, None)
        self.postgres = Postgres(
            self._folder, say, services["postgres"], port=former.postgres if former else None
        )
        self.temporal = Temporal(
            self._folder,
            say,
            services,
            self.postgres,
            ports=former.temporal if former else (port,),
            dynamic_config=dynamic_config or {},
            environment=server_environment or {},
            faults=faults,
            seed=seed,
        )
        self.ui = Ui(
            self._folder,
            say,
            services["temporal-ui"],
            self.temporal,
            port=(former.ui if former else None) or ui_port,
        )
        self._with_ui = ui

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Host and port for a Temporal client."""
        return self.temporal.address

    @property
    def namespace(self) -> str:
        """The namespace that serves batches."""
        return self.temporal.namespace

    @property
    def ui_url(self) -> str:
        """The Web UI."""
        return self.ui.url

    @property
    def servers(self) -> tuple[Postgres | Temporal | Ui, ...]:
        """What runs while the stack runs, in the order of their starts."""
        return (self.postgres, self.temporal, *([self.ui] if self._with_ui else []))

    def start(self) -> None:
        """Start everything, from nothing or on the folder's data, and wait until it serves.

        Raises EngineError; then nothing is left running.
        """
        self._take_lock()
        try:
            self._end_all()
            self.postgres.start()
            self.temporal.prepare()
            self.temporal.start()
            self.temporal.make_namespace()
            if self._with_ui:
                self.ui.start()
            self._write()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything cleanly. Harmless when it does not run."""
        if self._lock is None:
            return
        try:
            self._end_all()
        finally:
            unlock(self._lock)
            self._lock = None

    def kill_all(self) -> None:
        """SIGKILL to the Temporal server and all of Postgres, as a power cut would."""
        self.temporal.kill()
        self.postgres.kill()

    def _end_all(self) -> None:
        for server in (self.ui, self.temporal, self.postgres):
            server.stop()

    def _take_lock(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EngineError(f"The folder {self._folder} cannot be used: {error}.") from None
        if not try_lock(handle):
            os.close(handle)
            runs = self._read()
            which = f" (process {runs.pid}, TEMPORAL_ADDRESS={LOOPBACK}:{runs.temporal[0]})" if runs else ""
            raise EngineError(f"A server runs on {self._folder} already{which}: use it, or end it first.")
        self._lock = handle

    def _read(self) -> Record | None:
        with suppress(OSError, ValidationError):
            return Record.model_validate_json(self._lock_file.read_bytes())
        return None

    def _write(self) -> None:
        record = Record(
            pid=os.getpid(),
            postgres=self.postgres.connection.port,
            temporal=self.temporal.ports,
            ui=self.ui.port,
        )
        self._lock_file.write_text(record.model_dump_json())

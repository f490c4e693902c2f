"""Temporal's Web UI, as its image runs it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from batchmail.engine.ports import LOOPBACK
from batchmail.engine.waiting import Say, Wait
from batchmail.errors import EngineError
from scripts.server.compose import Service
from scripts.server.http import answers
from scripts.server.ports import choose
from scripts.server.process import Process, outside
from scripts.server.temporal import Temporal
from scripts.tools import temporal_ui

_START, _STOP = 60.0, 10.0  # seconds


class Ui:
    """The Web UI."""

    def __init__(
        self, folder: Path, say: Say, service: Service, server: Temporal, *, port: int | None
    ) -> None:
        self._folder, self._say, self._service, self._server = folder, say, service, server
        self.port = port
        self.process = Process("temporal-ui", folder)

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers. Raises EngineError."""
        program = temporal_ui()
        config = self._folder / "ui-config"
        config.mkdir(exist_ok=True)
        # The image's own configuration; in a container it listens on every address.
        told = (program.parent / "docker.yaml").read_text()
        (config / "docker.yaml").write_text(f"{told}\nhost: {LOOPBACK}\n")
        command: list[str | Path] = [
            program,
            "--root",
            self._folder,
            "--config",
            config.name,
            "--env",
            "docker",
            "start",
        ]
        for _ in range(5):
            (port,) = choose(1, [self.port])
            self.port = port
            self.process.launch(command, self._environment())
            waiting = Wait("Starting the Web UI …", seconds=_START, say=self._say, given_up=threading.Event())
            while self.process.is_running and waiting.again():
                if answers(port, "/healthz"):
                    return
            self.process.kill()
            if not self.process.lost_its_port:
                break
            self.port = None
        raise EngineError(
            f"The Web UI did not come up: see {self.process.log}, "
            f"which ends with {self.process.last_words!r}."
        )

    def stop(self) -> None:
        """End it."""
        waiting = Wait("Stopping the Web UI …", seconds=_STOP, say=self._say, given_up=threading.Event())
        self.process.stop(signal.SIGTERM, waiting)

    def _environment(self) -> dict[str, str]:
        return {
            **outside(),
            **self._service.environment,
            "TEMPORAL_ADDRESS": self._server.address,
            "TEMPORAL_UI_PORT": str(self.port),
        }

"""A real Prometheus that watches one worker, on a folder and a port of its own."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from batchmail.settings import Listen
from scripts.tools import TOOLS
from tests.program.addresses import free

_SECONDS = 60.0


class Prometheus:
    """What can be asked of it."""

    def __init__(self, address: Listen) -> None:
        self._address = address

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that the expression yields now."""
        found = self._get("query", query=expression)["result"]
        assert isinstance(found, list)
        return found

    def names(self) -> set[str]:
        """The names of all metrics."""
        return set(self._get("label/__name__/values"))

    def until(self, expression: str) -> None:
        """Wait until the expression yields something."""
        end = time.monotonic() + _SECONDS
        while not self.query(expression):
            assert time.monotonic() < end, f"Prometheus knows no {expression}"
            time.sleep(0.1)

    def _get(self, what: str, **parameters: str) -> Any:
        url = f"http://{self._address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{parameters}: {json.load(refused)['error']}") from None


@contextmanager
def prometheus(folder: Path, config: Path, target: Listen) -> Iterator[Prometheus]:
    """Prometheus with this configuration, except that it looks at `target`, five times a second."""
    settings = yaml.safe_load(config.read_text())
    settings["global"] = {"scrape_interval": "200ms", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(config.parent / name) for name in settings["rule_files"]]
    (job,) = settings["scrape_configs"]
    job["static_configs"] = [{"targets": [str(target)]}]
    own = folder / "prometheus.yml"
    own.write_text(yaml.safe_dump(settings))
    address = free()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                TOOLS["prometheus"](),
                f"--config.file={own}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _until_ready(address, process)
        yield Prometheus(address)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _until_ready(address: Listen, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=1):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)

"""A real S3-compatible server, versitygw, over a folder: for tests of the store in a bucket."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from pathlib import Path

import pytest

from batchmail.engine.ports import LOOPBACK, any_free
from batchmail.locations import BucketUrl
from batchmail.store import Store
from scripts.tools import versitygw

BUCKET = "mails"
REGION = "us-east-1"


class BucketServer:
    """The server, with one bucket and keys of its own. It can be stopped and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._program = versitygw()
        self._log = folder / "versitygw.log"
        self.data = folder / "buckets"
        (self.data / BUCKET).mkdir(parents=True)
        self._key, self._secret = secrets.token_hex(8), secrets.token_hex(16)
        self.port = any_free().temporal
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a client finds it."""
        return {
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self.port}",
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "AWS_REGION": REGION,
        }

    def start(self) -> None:
        """Until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--quiet", "--port", f"{LOOPBACK}:{self.port}", "posix", str(self.data)],
                env=os.environ | {"ROOT_ACCESS_KEY_ID": self._key, "ROOT_SECRET_ACCESS_KEY": self._secret},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"versitygw does not listen:\n{self._log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; what it holds stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def store(self, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Store:
        """A store below `prefix`; this process and those it starts have the keys from now on."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        return Store(BucketUrl("s3", BUCKET, prefix))

"""The worker of docker-compose.yml and its mailbox, run without containers, as they stand there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmail.engine.ports import LOOPBACK
from batchmail.settings import CHECKOUT
from scripts.server import Stack
from scripts.server.http import answers
from scripts.server.ports import choose
from scripts.server.process import outside
from scripts.tools import mailpit
from tests.postgres.containers import DEPLOY, SERVICES, is_healthy, run


class Mailbox:
    """Mailpit, with its container's environment; its ports and its database are here others."""

    def __init__(self, folder: Path) -> None:
        self.smtp_port, self.http_port = choose(2)
        self.changed = {
            "MP_DATABASE": str(folder / "mailpit.db"),
            "MP_SMTP_BIND_ADDR": f"{LOOPBACK}:{self.smtp_port}",
            "MP_UI_BIND_ADDR": f"{LOOPBACK}:{self.http_port}",
        }
        service = SERVICES["mailpit"]
        self.process = subprocess.Popen(
            [mailpit(), *service.command], cwd=folder, env=outside(**{**service.environment, **self.changed})
        )

    @property
    def is_healthy(self) -> bool:
        """What its health check says."""
        return is_healthy(SERVICES["mailpit"], **self.changed)

    def recipients(self) -> list[str]:
        """Whom it has a mail for."""
        with urllib.request.urlopen(
            f"http://{LOOPBACK}:{self.http_port}/api/v1/messages?limit=100"
        ) as answer:
            found = json.load(answer)["messages"]
        return sorted(each["Address"] for message in found for each in message["To"])


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    """A running Mailpit."""
    running = Mailbox(tmp_path)
    while not answers(running.http_port, "/readyz"):
        assert running.process.poll() is None
        time.sleep(0.02)
    yield running
    running.process.terminate()
    running.process.wait(10)


def test_mailpit_is_healthy_while_it_runs(mailbox: Mailbox) -> None:
    assert mailbox.is_healthy
    mailbox.process.terminate()
    mailbox.process.wait(10)
    assert not mailbox.is_healthy


class Worker:
    """The worker's container: its command, with the checkout's Python as the image's.

    `app` is its folder /app, which has no `.env` of a developer's in it.
    """

    service = SERVICES["worker"]

    def __init__(self, folder: Path, script: Path, **changed: str) -> None:
        self.app = folder / "app"
        self.app.mkdir()
        for name in ("worker.py", "starter.py", "examples"):
            (self.app / name).symlink_to(CHECKOUT / name)
        (health,) = choose(1)
        self.changed = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "BATCH_STATE": str(folder),
            "BATCH_HEALTH_ADDRESS": f"{LOOPBACK}:{health}",
            **changed,
        }
        shell, _ = self.service.command
        self.log = folder / "worker.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [shell, script],
                cwd=self.app,
                env=outside(**{**self.service.environment, **self.changed}),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def is_healthy(self) -> bool:
        """What its health check says."""
        return is_healthy(self.service, folder=str(self.app), **self.changed)

    def stop(self) -> int:
        """End it as Docker does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def test_up_and_the_starter_are_all_that_ten_mails_need(
    stack: Stack, mailbox: Mailbox, tmp_path: Path
) -> None:
    script = DEPLOY / "compose" / Path(SERVICES["worker"].command[-1]).name
    common = {
        "TEMPORAL_ADDRESS": stack.address,
        "BATCH_TASK_QUEUE": "compose",
        "BATCH_STATE": str(tmp_path),
    }
    relay = {"SMTP_HOST": LOOPBACK, "SMTP_PORT": str(mailbox.smtp_port), "SMTP_TLS": "none"}
    worker = Worker(tmp_path, script, **common, **relay)
    try:
        while not worker.is_healthy:
            assert worker.process.poll() is None, worker.log.read_text()
        started = subprocess.run(
            [sys.executable, "starter.py", "--list", "examples/emails.csv"],
            cwd=worker.app,
            env=outside(**common),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert started.returncode == 0, started.stderr
        assert len(mailbox.recipients()) == 10
    finally:
        assert worker.stop() == 0
    assert not worker.is_healthy


ECHO = """#!/bin/sh
echo "$(id -u):$(id -g) groups $(id -G) runs $*"
env
"""


KNOWS_MAILPIT = """#!/bin/sh
test "$*" = "hosts mailpit"
"""


@pytest.fixture
def image() -> Iterator[Path]:
    """A folder that all may read: worker.sh, an empty store, a python that tells how it is called, and a
    network in which Mailpit runs."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "deploy").mkdir(parents=True)
    (folder / "var").mkdir()
    shutil.copy(DEPLOY / "compose" / "worker.sh", folder / "deploy")
    for name, script in (("python", ECHO), ("getent", KNOWS_MAILPIT)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def start(image: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run the worker's command in `image`."""
    path = f"{image}:{os.environ['PATH']}"
    command = (SERVICES["worker"].command[0], str(image / "deploy" / "worker.sh"))
    return run(command, service=SERVICES["worker"], PATH=path, BATCH_STATE=str(image / "var"), **changed)


def test_without_a_relay_of_ones_own_mail_ends_in_mailpit(image: Path) -> None:
    told = start(image).stdout.splitlines()
    assert {"SMTP_HOST=mailpit", "SMTP_PORT=1025", "SMTP_TLS=none"} <= set(told)


def test_without_a_relay_and_without_mailpit_the_worker_says_what_to_do(image: Path) -> None:
    (image / "getent").unlink()
    refused = start(image)
    assert refused.returncode == 2
    assert "SMTP_HOST is not set" in refused.stderr
    assert "--profile dev" in refused.stderr


def test_with_a_relay_of_ones_own_nothing_of_mailpit_is_left(image: Path) -> None:
    told = start(image, SMTP_HOST="smtp.example.org").stdout.splitlines()
    assert "SMTP_HOST=smtp.example.org" in told
    assert not [line for line in told if line.startswith(("SMTP_PORT", "SMTP_TLS"))]


def test_a_store_that_is_a_folder_of_the_host_is_refused(image: Path) -> None:
    refused = start(image, BATCH_STORE="/srv/batchmail")
    assert refused.returncode == 2
    assert "/srv/batchmail" in refused.stderr
    assert "runs worker.py" in start(image, BATCH_STORE="s3://bucket/folder").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else, as in the container")
def test_the_worker_becomes_the_user_whom_the_checkout_belongs_to_and_so_does_a_new_store(
    image: Path,
) -> None:
    os.chown(image / "deploy", 12345, 23456)
    assert "12345:23456 groups 23456 runs worker.py" in start(image).stdout
    made = (image / "var").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (12345, 23456, 0o700)

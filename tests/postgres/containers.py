"""The containers of docker-compose.yml without a daemon: what each is run with, and whether it is healthy.

What is the same in both is read from the file; only addresses, ports and paths are others here.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from batchmail.settings import CHECKOUT
from scripts.server.compose import HealthCheck, Service, read_services
from scripts.server.process import outside
from scripts.tools import mailpit

SERVICES = read_services({})
DEPLOY = CHECKOUT / "deploy"

# Where a program lies in its image, and in a container there is no other.
IN_IMAGE = {"/mailpit": lambda: str(mailpit())}


def run(
    command: tuple[str, ...], *, service: Service, folder: str = str(CHECKOUT), **changed: str
) -> subprocess.CompletedProcess[str]:
    """Run a container's command here, with the container's environment and what is another one here."""
    return subprocess.run(
        command,
        cwd=folder,
        env=outside(**{**service.environment, **changed}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def check(service: Service) -> tuple[str, ...]:
    """The health check's command."""
    assert isinstance(service.healthcheck, HealthCheck)
    program, *rest = service.healthcheck.command
    return (IN_IMAGE[program]() if program in IN_IMAGE else program, *rest)


def is_healthy(service: Service, *, folder: str = str(CHECKOUT), **changed: str) -> bool:
    """What the service's health check says."""
    return run(check(service), service=service, folder=folder, **changed).returncode == 0


def environment_of(pid: int | None) -> dict[str, str]:
    """With which environment a process was started."""
    read = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(each.split("=", 1) for each in read.split("\0") if each)

"""The machine and the versions that the figures were measured with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version

from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import read_settings

_LIBRARIES = ("temporalio", "aiosmtplib", "uvloop", "pydantic")


def machine() -> str:
    """One line."""
    program = find_temporal(read_settings().batch_temporal_cli, lambda text: print(text, flush=True))
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    facts = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        said.stdout.strip(),
        *(f"{name} {version(name)}" for name in _LIBRARIES),
    ]
    return "; ".join(facts)

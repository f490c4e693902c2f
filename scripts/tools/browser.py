"""Chromium for the tests of the Web UI."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from batchmail.engine.waiting import run
from batchmail.errors import EngineError
from scripts.tools.once import wait

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_OWN = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def chromium() -> Path:
    """Chromium: from PATH, else Playwright's own, else Debian's package (installed where we are root)."""
    if found := _on_path():
        return found
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        waiting = wait("Getting Playwright's Chromium (once) …", 10)
        install = [sys.executable, "-m", "playwright", "install", "chromium"]
        ended = run(install, cwd=here, env=os.environ, wait=waiting)
        if ended.ok:
            asked = run([sys.executable, "-c", _OWN], cwd=here, env=os.environ, wait=waiting)
            if asked.ok and Path(asked.last_words).exists():
                return Path(asked.last_words)
        tried.append(f"Playwright's ({ended.last_words})")
        if os.geteuid() == 0 and shutil.which("apt-get"):
            script = "apt-get -q update && apt-get -q -y install --no-install-recommends chromium"
            waiting = wait("Installing Debian's Chromium (once) …", 15)
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            ended = run(["/bin/sh", "-c", script], cwd=here, env=environment, wait=waiting)
            if ended.ok and (found := _on_path()):
                return found
            tried.append(f"Debian's ({ended.last_words})")
    raise EngineError(f"Chromium cannot be had ({'; '.join(tried)}): install it by hand.")


def _on_path() -> Path | None:
    return next((Path(found) for name in _NAMES if (found := shutil.which(name))), None)

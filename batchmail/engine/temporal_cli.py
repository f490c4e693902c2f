"""Where Temporal's command line comes from: it carries the development server and its Web UI.

In this order: the setting BATCH_TEMPORAL_CLI, `temporal` on PATH, our copy in the user's cache folder, the
SDK's download, a build by the Go toolchain. The last two fill the cache folder, so they happen once a user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from batchmail.engine.waiting import Ended, Say, Wait, locked, run
from batchmail.errors import EngineError, SettingsError

# Later tags carry `replace` directives, which `go install` refuses.
VERSION = "1.5.1"

_DOWNLOAD = """
import asyncio, os, sys
from temporalio.testing import WorkflowEnvironment

async def download(folder, version):
    # The SDK downloads only on the way to a running server.
    server = await WorkflowEnvironment.start_local(
        download_dest_dir=folder, dev_server_download_version=version
    )
    await server.shutdown()

try:
    asyncio.run(download(*sys.argv[1:]))
except Exception as error:
    print(error, flush=True)
os._exit(0)  # what counts is the file; the interpreter may crash on its way out
"""


def find_temporal(configured: Path | None, say: Say, given_up: threading.Event | None = None) -> Path:
    """The path of Temporal's command line, installed first where there is none yet.

    `configured` is the setting BATCH_TEMPORAL_CLI; when it is given, nothing else is tried. `say` is told
    about everything that takes longer than two seconds.

    Raises SettingsError when `configured` is not Temporal's command line, and EngineError, which names all
    that was tried, when there is none to be had.
    """
    if configured is not None:
        program = configured.expanduser().absolute()
        if not is_temporal(program):
            raise SettingsError(f"BATCH_TEMPORAL_CLI: {configured} is not Temporal's command line program.")
        return program
    on_path = shutil.which("temporal")
    if on_path and is_temporal(Path(on_path)):
        return Path(on_path).absolute()
    cached = cache_folder() / f"temporal-{VERSION}" / "temporal"
    if not is_temporal(cached):
        _install(cached, say, given_up or threading.Event())
    return cached


def is_temporal(program: Path) -> bool:
    """Whether this is Temporal's command line: other programs are called `temporal` too."""
    try:
        said = subprocess.run(  # noqa: S603
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return said.stdout.startswith(b"temporal version")


def cache_folder() -> Path:
    """The folder of the user's cache that is ours: what took minutes to get serves every checkout."""
    if configured := os.environ.get("XDG_CACHE_HOME"):
        return Path(configured) / "batchmail"
    usual = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path.home() / usual / "batchmail"


def _install(target: Path, say: Say, given_up: threading.Event) -> None:
    """Put Temporal's command line at `target`, whole or not at all; one process at a time."""

    def wait(text: str, minutes: float) -> Wait:
        return Wait(text, seconds=minutes * 60, say=say, given_up=given_up)

    tried = ["BATCH_TEMPORAL_CLI (not set)", "`temporal` on PATH (none)", f"{target} (none)"]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        turn = wait("Waiting for another process that installs Temporal's command line …", 30)
        with locked(target.with_name("install.lock"), turn):
            if is_temporal(target):
                return
            for source in (_sdk_download(), _go_install()):
                with tempfile.TemporaryDirectory(dir=target.parent, prefix="new-") as folder:
                    ended = _fetch(source, Path(folder), target, wait(source.text, source.minutes))
                if ended.ok:
                    return
                tried.append(f"{source.name} ({ended.last_words})")
    except EngineError:  # which is an OSError too
        raise
    except OSError as error:
        raise EngineError(f"Temporal's command line cannot be kept in {target.parent}: {error}.") from None
    raise EngineError(
        f"Temporal's development server cannot be had, tried: {', '.join(tried)}; "
        "install the `temporal` command line, or set BATCH_TEMPORAL_CLI to its path."
    )


class _Source(NamedTuple):
    """A command that brings the program into the folder it runs in."""

    name: str
    text: str
    minutes: float
    command: tuple[str, ...] | None


def _sdk_download() -> _Source:
    return _Source(
        name="the SDK's download",
        text="Downloading Temporal's command line (once, about 50 MB) …",
        minutes=5,
        command=(sys.executable, "-c", _DOWNLOAD, ".", f"v{VERSION}"),
    )


def _go_install() -> _Source:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/opt/homebrew/bin")
    return _Source(
        name="go install",
        text="Building Temporal's command line by the Go toolchain (once, about 3 minutes) …",
        minutes=25,
        command=(go, "install", f"github.com/temporalio/cli/cmd/temporal@v{VERSION}") if go else None,
    )


def _fetch(source: _Source, folder: Path, target: Path, wait: Wait) -> Ended:
    """Run the source's command and move the program it brings to `target`, atomically."""
    if source.command is None:
        return Ended(False, "not installed")
    ended = run(source.command, cwd=folder, env={**os.environ, "GOBIN": str(folder)}, wait=wait)
    # The download counts by what it left: its trial run of the server may fail for reasons of its own.
    for program in sorted(folder.glob("temporal*")):
        if is_temporal(program):
            program.replace(target)
            return Ended(True, "")
    return Ended(False, ended.last_words or "brought no program")

"""Programs that the Go toolchain builds, each at the version that everything here was tried with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from batchmail.engine.temporal_cli import cache_folder, find_temporal
from batchmail.engine.waiting import Ended, run
from batchmail.settings import read_settings
from scripts.tools.once import once, say, wait

# Newer ones of Temporal's server and Web UI want a newer Go. docker-compose.yml names the same versions.
TEMPORAL_VERSION = "1.32.1"
TEMPORAL_UI_VERSION = "2.42.1"
MAILPIT_VERSION = "1.27.11"
_VERSITYGW_VERSION = "1.8.0"
_TOXIPROXY_VERSION = "2.12.0"

_UI_MODULE = "github.com/temporalio/ui-server/v2"


def temporal() -> Path:
    """Temporal's command line, as the program itself finds or installs it."""
    return find_temporal(read_settings().batch_temporal_cli, say)


def temporal_server() -> Path:
    """Temporal's server."""
    return _built("temporal-server", "go.temporal.io/server/cmd/server", TEMPORAL_VERSION)


def temporal_sql_tool() -> Path:
    """The program that makes and updates Temporal's schema in a SQL database."""
    return _built("temporal-sql-tool", "go.temporal.io/server/cmd/tools/sql", TEMPORAL_VERSION)


def temporal_ui() -> Path:
    """Temporal's Web UI; beside it lies `docker.yaml`, the configuration that its image carries."""
    folder = cache_folder() / f"temporal-ui-{TEMPORAL_UI_VERSION}"

    def build(new: Path) -> Ended:
        ended = _install(f"{_UI_MODULE}/cmd/server@v{TEMPORAL_UI_VERSION}", "temporal-ui", new)
        if ended.ok:
            made = new / "made"
            made.mkdir()
            (new / "server").rename(made / "temporal-ui")
            source = _module_folder(_UI_MODULE, TEMPORAL_UI_VERSION)
            shutil.copyfile(source / "config" / "docker.yaml", made / "docker.yaml")
            made.rename(folder)
        return ended

    return once(folder, build, "install the Go toolchain") / "temporal-ui"


def mailpit() -> Path:
    """A mail server that keeps everything and shows it: docker-compose.yml's relay for development."""
    return _built("mailpit", "github.com/axllent/mailpit", MAILPIT_VERSION)


def versitygw() -> Path:
    """A server that speaks S3 over a folder."""
    return _built("versitygw", "github.com/versity/versitygw/cmd/versitygw", _VERSITYGW_VERSION)


def toxiproxy() -> Path:
    """Toxiproxy's server: from PATH, else built."""
    if found := shutil.which("toxiproxy-server"):
        return Path(found)
    return _built("toxiproxy-server", "github.com/Shopify/toxiproxy/v2/cmd/server", _TOXIPROXY_VERSION)


def _built(name: str, package: str, version: str) -> Path:
    target = cache_folder() / f"{name}-{version}"

    def build(folder: Path) -> Ended:
        ended = _install(f"{package}@v{version}", name, folder)
        if ended.ok:
            (folder / package.rsplit("/", 1)[1]).rename(target)
        return ended

    return once(target, build, f"install the Go toolchain, or put {name} at {target},")


def _install(package: str, name: str, folder: Path) -> Ended:
    go = _go()
    if go is None:
        return Ended(False, "no Go toolchain here")
    waiting = wait(f"Building {name} by the Go toolchain (once) …", 30)
    return run([go, "install", package], cwd=folder, env={**os.environ, "GOBIN": str(folder)}, wait=waiting)


def _module_folder(module: str, version: str) -> Path:
    """Where the toolchain keeps a module's source."""
    told = subprocess.run(  # noqa: S603
        [str(_go()), "mod", "download", "-json", f"{module}@v{version}"],
        capture_output=True,
        check=True,
        cwd="/",
    )
    return Path(json.loads(told.stdout)["Dir"])


def _go() -> str | None:
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/opt/homebrew/bin")

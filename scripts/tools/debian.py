"""Programs from where they are installed, else unpacked from Debian's packages into the cache folder.

The apt used for it is a private one: no root is needed and nothing of the system changes; what is unpacked
is never configured or started.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from batchmail.engine.temporal_cli import cache_folder
from batchmail.engine.waiting import Ended, run
from scripts.tools.once import once, wait

# Downloads the packages named, and those they need that the system has not, and unpacks them all.
_UNPACK = """
set -eu
mkdir -p state/lists/partial cache/archives/partial
root=$1
shift
private="-o Dir::State=$PWD/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$PWD/cache"
private="$private -o Debug::NoLocking=1 -o APT::Sandbox::User="
get="apt-get -q -y $private install --download-only --no-install-recommends --reinstall"
apt-get -q $private update && $get "$@"
for package in cache/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
"""

# A program with the libraries of its own packages.
_PROGRAM = """#!/bin/sh
root=$(cd "$(dirname "$0")/../root" && pwd)
LD_LIBRARY_PATH="$(echo "$root"/usr/lib/*-linux-gnu*):$root{libraries}" exec "$root{program}" "$@"
"""

_POSTGRES = ("initdb", "postgres", "pg_ctl", "pg_isready", "pg_dump", "psql")


def smtp_sink() -> Path:
    """smtp-sink: from PATH, else from Debian's postfix package."""
    for folder in ("", "/usr/sbin", "/usr/local/sbin"):
        if found := shutil.which("smtp-sink", path=folder or None):
            return Path(found)
    return _unpacked("postfix", ["postfix"], ["/usr/sbin/smtp-sink"], "/usr/lib/postfix") / "smtp-sink"


def postgres() -> Path:
    """The folder with Postgres's programs: from PATH, the usual places, else from Debian's package."""
    folders = [
        Path(found).resolve().parent for name in ("postgres", "initdb") if (found := shutil.which(name))
    ]
    for usual in (
        "/usr/lib/postgresql/*/bin",
        "/opt/homebrew/opt/postgresql*/bin",
        "/usr/local/opt/postgresql*/bin",
    ):
        folders += sorted(Path("/").glob(usual[1:]), key=_version, reverse=True)
    for folder in folders:
        if all((folder / program).exists() for program in _POSTGRES):
            return folder
    return _unpacked("postgres", ["postgresql"], [f"/usr/lib/postgresql/*/bin/{name}" for name in _POSTGRES])


def prometheus() -> Path:
    """Prometheus: from PATH, else from Debian's package."""
    return _prometheus("prometheus")


def promtool() -> Path:
    """Prometheus's checker of rules: from PATH, else from Debian's package."""
    return _prometheus("promtool")


def _prometheus(name: str) -> Path:
    if found := shutil.which(name):
        return Path(found)
    return _unpacked("prometheus", ["prometheus"], ["/usr/bin/prometheus", "/usr/bin/promtool"]) / name


def _unpacked(name: str, packages: Iterable[str], programs: Iterable[str], libraries: str = "") -> Path:
    """The folder with `programs`, which are patterns of paths in the packages."""
    target = cache_folder() / f"debian-{name}"

    def unpack(folder: Path) -> Ended:
        if not shutil.which("apt-get"):
            return Ended(False, "no apt-get here")
        new = folder / "new"
        (new / "bin").mkdir(parents=True)
        waiting = wait(f"Getting Debian's package for {name} (once) …", 10)
        command = ["/bin/sh", "-c", _UNPACK, "sh", str(new / "root"), *packages]
        ended = run(command, cwd=folder, env=os.environ, wait=waiting)
        if not ended.ok:
            return ended
        for pattern in programs:
            found = sorted((new / "root").glob(pattern[1:]), key=_version)
            if not found:
                return Ended(False, f"the package has no {pattern}")
            inside = f"/{found[-1].relative_to(new / 'root')}"
            wrapper = new / "bin" / found[-1].name
            wrapper.write_text(_PROGRAM.format(program=inside, libraries=libraries))
            wrapper.chmod(0o755)
        new.rename(target)
        return ended

    return once(target, unpack, f"install {name}") / "bin"


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(path)))

"""Programs that tests and benchmarks need beside Python: got once, into the user's cache folder.

    python -m scripts.tools temporal smtp-sink toxiproxy

prints the path of each. What is going on is told on stderr.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from batchmail.engine.temporal_cli import cache_folder, find_temporal
from batchmail.engine.waiting import Ended, Wait, locked, run
from batchmail.errors import BatchmailError, EngineError
from batchmail.settings import read_settings

_TOXIPROXY = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"

# A private apt, so that no root is needed and nothing of the system changes. Postfix is never configured.
_UNPACK_POSTFIX = """
set -eu
mkdir -p state/lists/partial cache/archives/partial
apt="apt-get -q -o Dir::State=$PWD/state -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache=$PWD/cache"
apt-get -q download postfix || { $apt update && $apt download postfix; }
dpkg-deb -x postfix_*.deb postfix
"""

_SINK = """#!/bin/sh
# smtp-sink with the libraries of its own package.
here=$(cd "$(dirname "$0")" && pwd)
LD_LIBRARY_PATH="$here/postfix/usr/lib/postfix" exec "$here/postfix/usr/sbin/smtp-sink" "$@"
"""


def temporal() -> Path:
    """Temporal's command line, as the program itself finds or installs it."""
    return find_temporal(read_settings().batch_temporal_cli, _say)


def smtp_sink() -> Path:
    """smtp-sink: from PATH, else unpacked from Debian's postfix package."""
    for folder in ("", "/usr/sbin", "/usr/local/sbin"):
        if found := shutil.which("smtp-sink", path=folder or None):
            return Path(found)
    target = cache_folder() / "smtp-sink" / "smtp-sink"

    def unpack(folder: Path) -> Ended:
        if not shutil.which("apt-get"):
            return Ended(False, "no apt-get here")
        wait = _wait("Getting Debian's postfix package for smtp-sink (once) …", 5)
        ended = run(["/bin/sh", "-c", _UNPACK_POSTFIX], cwd=folder, env=os.environ, wait=wait)
        if ended.ok:
            shutil.rmtree(target.parent / "postfix", ignore_errors=True)
            (folder / "postfix").rename(target.parent / "postfix")
            program = folder / "smtp-sink"
            program.write_text(_SINK)
            program.chmod(0o755)
            program.rename(target)
        return ended

    return _once(target, unpack, "install Postfix")


def toxiproxy() -> Path:
    """Toxiproxy's server: from PATH, else built by the Go toolchain."""
    if found := shutil.which("toxiproxy-server"):
        return Path(found)
    target = cache_folder() / "toxiproxy-server"

    def build(folder: Path) -> Ended:
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/opt/homebrew/bin")
        if go is None:
            return Ended(False, "no Go toolchain here")
        wait = _wait("Building toxiproxy by the Go toolchain (once) …", 10)
        environment = {**os.environ, "GOBIN": str(folder)}
        ended = run([go, "install", _TOXIPROXY], cwd=folder, env=environment, wait=wait)
        if ended.ok:
            (folder / "server").rename(target)
        return ended

    return _once(target, build, "install toxiproxy")


def _once(target: Path, get: Callable[[Path], Ended], advice: str) -> Path:
    """`target`, got first where it is not there; one process at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f"{target.name}.lock")
    with locked(lock, _wait(f"Waiting for another process that gets {target.name} …", 15)):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="new-") as folder:
                ended = get(Path(folder))
            if not ended.ok:
                raise EngineError(f"{target.name} cannot be had ({ended.last_words}): {advice} by hand.")
    return target


def _wait(text: str, minutes: float) -> Wait:
    return Wait(text, seconds=minutes * 60, say=_say, given_up=threading.Event())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


TOOLS = {"temporal": temporal, "smtp-sink": smtp_sink, "toxiproxy": toxiproxy}


def main() -> int:
    """Print the path of each program named."""
    for name in sys.argv[1:]:
        if name not in TOOLS:
            print(f"{name} is none of the tools: {', '.join(TOOLS)}.", file=sys.stderr)
            return 2
        try:
            print(TOOLS[name]())
        except BatchmailError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

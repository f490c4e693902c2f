"""The Temporal servers a benchmark runs on: the embedded one, and the production one on its own Postgres."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import LOOPBACK, any_free
from batchmail.engine.server_process import ServerFiles, read
from batchmail.settings import read_settings
from benchmarks.answers import ask
from benchmarks.processes import BenchmarkError, tree_cpu_seconds
from scripts.server import Stack

PUBLISHED_EVERY = 1.5  # seconds, with some to spare

_REQUESTS = re.compile(
    r'^service_requests\{[^}]*operation="(\w+)"[^}]*service_name="frontend"[^}]*\} (\S+)$', re.MULTILINE
)


class Written(NamedTuple):
    """Octets a database has written, and those it holds."""

    wal: int
    held: int


class Engine(NamedTuple):
    """A server that answers. `pids`: of its processes, without children. `written`: what its database has
    written so far, where it tells."""

    address: str
    metrics: str
    pids: Callable[[], list[int]]
    written: Callable[[], Written]

    def cpu_seconds(self) -> float:
        """CPU time of server and database so far."""
        return sum(map(tree_cpu_seconds, self.pids()))

    def requests(self) -> Counter[str]:
        """How many calls of each kind the server has counted; it publishes its counts about once a second."""
        earlier, found = Counter({"none yet": -1}), self._published()
        while found != earlier:
            time.sleep(PUBLISHED_EVERY)
            earlier, found = found, self._published()
        return found

    def _published(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for operation, times in _REQUESTS.findall(ask(self.metrics)):
            if not operation.startswith(("Poll", "Describe")):
                found[operation] += int(float(times))
        return found


Start = Callable[[Path], AbstractContextManager[Engine]]


@contextmanager
def embedded(folder: Path) -> Iterator[Engine]:
    """The server of `--dev`, on a SQLite file."""
    state = folder / "state"
    cli = read_settings().batch_temporal_cli
    with DevServer(state, _say, cli=cli, usual=any_free()) as server:
        files = ServerFiles(state)
        living = read(files)
        metrics = re.search(r"http://\S+/metrics", files.log.read_text())
        if living is None or metrics is None:
            raise BenchmarkError(f"the server does not say its pid and metrics: see {files.log}")
        yield Engine(server.address, metrics[0], lambda: [living.pid], lambda: Written(0, 0))


@contextmanager
def production(folder: Path) -> Iterator[Engine]:
    """The server of `make server`: on Postgres, which fsyncs every commit."""
    metrics = f"{LOOPBACK}:{any_free().temporal}"
    with Stack(folder / "server", _say, server_environment={"PROMETHEUS_ENDPOINT": metrics}) as stack:

        def pids() -> list[int]:
            return [pid for server in stack.servers if (pid := server.process.pid) is not None]

        def written() -> Written:
            # A checkpoint first, so that what is held lies on the disk.
            asked = "CHECKPOINT; SELECT pg_current_wal_lsn() - '0/0', sum(pg_database_size(datname))"
            wal, held = stack.postgres.query("temporal", f"{asked} FROM pg_database").strip().split("|")
            return Written(int(wal), int(held))

        yield Engine(stack.address, f"http://{metrics}/metrics", pids, written)


def _say(text: str) -> None:
    print(text, flush=True)

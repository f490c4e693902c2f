"""Where the benchmark's mail goes: smtp-sink, which takes and counts it, near or behind a slow line; or a
relay of the tests, which records when it took each."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batchmail.engine.ports import LOOPBACK, any_free
from benchmarks.answers import order
from benchmarks.processes import started
from scripts.tools import smtp_sink, toxiproxy
from tests.relays import Behaviour, RelayProcess

SESSIONS = 2_000
"""Sessions the sink admits at a time; its own default, 256, would be in the way."""

_COUNT = re.compile(rb"mesg=(\d+)")


class Sink(NamedTuple):
    """A running smtp-sink."""

    port: int
    pid: int
    counts: Path

    def accepted(self) -> int:
        """How many mails it has accepted so far, by its own count."""
        with self.counts.open("rb") as file:
            file.seek(max(0, self.counts.stat().st_size - 200))
            found = _COUNT.findall(file.read())
        return int(found[-1]) if found else 0


@contextmanager
def sink(folder: Path) -> Iterator[Sink]:
    """smtp-sink on a free port: one C program, one thread. Its count costs it 3 µs or so a mail."""
    port = any_free().temporal
    command = [str(smtp_sink()), "-c", "-m", str(SESSIONS)]
    if os.geteuid() == 0:
        command += ["-u", "nobody"]  # it refuses to serve as root
    command += [f"{LOOPBACK}:{port}", str(SESSIONS)]
    with started(command, folder, name="smtp-sink", ready=lambda: _listens(port)) as running:
        yield Sink(port, running.pid, running.log)


@contextmanager
def slow_line(folder: Path, port: int, milliseconds: int) -> Iterator[int]:
    """A port that leads to `port` with so many milliseconds each way, by toxiproxy."""
    control = any_free().temporal
    command = [str(toxiproxy()), "-host", LOOPBACK, "-port", str(control)]
    proxies = f"http://{LOOPBACK}:{control}/proxies"
    with started(command, folder, name="toxiproxy", ready=lambda: _listens(control)):
        proxy = order(proxies, {"name": "relay", "listen": f"{LOOPBACK}:0", "upstream": f"{LOOPBACK}:{port}"})
        for stream in ("upstream", "downstream"):
            delay = {"latency": milliseconds, "jitter": 0}
            order(f"{proxies}/relay/toxics", {"type": "latency", "stream": stream, "attributes": delay})
        yield int(str(proxy["listen"]).rpartition(":")[2])


@contextmanager
def recording_relay(folder: Path, behaviour: Behaviour) -> Iterator[RelayProcess]:
    """A relay that behaves so, and records whom it accepts, and when, before it answers."""
    relay = RelayProcess(folder / "relay", behaviour)
    try:
        yield relay
    finally:
        relay.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True

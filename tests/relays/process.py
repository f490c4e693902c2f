"""Start, watch, order about and end one relay process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.relays.behaviour import Behaviour

_ROOT = Path(__file__).resolve().parents[2]
_GLANCE = 0.005


class Accepted(NamedTuple):
    """A line of the record: a recipient whom the relay has accepted. `file`: the message, if it is kept."""

    recipient: str
    message_id: str
    connection: int
    time: float
    file: str


class Event(NamedTuple):
    """`event`: connected, a stage (of behaviour.FaultStage), quit, aborted (after RCPT, before the final dot
    was recorded), out_of_order (a command at the wrong time), closed. `line`: the command, if it was one."""

    event: str
    connection: int
    address: str
    line: str
    time: float


class RelayProcess:
    """A relay, started with one Behaviour. Its record and events outlive it."""

    def __init__(self, folder: Path, behaviour: Behaviour = Behaviour()) -> None:  # noqa: B008 - frozen
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self._record, self._events = folder / "record.jsonl", folder / "events.jsonl"
        self._read: list[Event] = []
        self._read_to = 0
        for file in (self._record, self._events):
            file.touch()
        given = {
            "record": str(self._record),
            "events": str(self._events),
            "behaviour": behaviour.as_json(),
        }
        with (folder / "relay.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.relays.relay", json.dumps(given)],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the relay did not start:\n{(folder / 'relay.log').read_text()}")
        ports = json.loads(line)
        self.port: int = ports["port"]
        self.pid = self._process.pid
        self._orders = socket.create_connection((self.host, ports["control"]), timeout=10)

    def record(self) -> list[Accepted]:
        """Everybody accepted so far, in order."""
        return [Accepted(**json.loads(line)) for line in self._record.read_bytes().splitlines()]

    def events(self) -> list[Event]:
        """Everything that has happened, in order."""
        with self._events.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if line.endswith(b"\n"):
                    self._read.append(Event(**json.loads(line)))
                    self._read_to += len(line)
        return self._read

    def behave(self, behaviour: Behaviour) -> None:
        """From now on behave so (TLS and what EHLO offered hold for new connections)."""
        self._order({"do": "behave", "behaviour": behaviour.as_json()})

    def begin_anew(self, behaviour: Behaviour = Behaviour()) -> None:  # noqa: B008 - frozen
        """As if just started with `behaviour`: no connection, nothing recorded, nothing happened. Not for a
        change to or from implicit TLS."""
        self.kick()
        self.behave(behaviour)
        for file in (self._record, self._events):
            os.truncate(file, 0)
        self._read, self._read_to = [], 0

    def release(self) -> None:
        """Let the held replies go, and hold no more."""
        self._order({"do": "release"})

    def kick(self) -> None:
        """Cut every connection."""
        self._order({"do": "kick"})

    def say(self, text: str) -> None:
        """Say `text` on every connection, unasked."""
        self._order({"do": "say", "text": text})

    def stop_accepting(self) -> None:
        """Refuse new connections; open ones live on."""
        self._order({"do": "stop_accepting"})

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._order({"do": "accept"})

    async def wait_for(self, seen: Callable[[Event], bool], *, times: int = 1, seconds: float = 20) -> None:
        """Until `times` events were `seen`; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not self._has(seen, times):  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(_GLANCE)

    def wait(self, seen: Callable[[Event], bool], *, times: int = 1, seconds: float = 20) -> None:
        """`wait_for`, for tests without an event loop."""
        end = time.monotonic() + seconds
        while not self._has(seen, times):
            if time.monotonic() > end:
                raise TimeoutError(f"the relay has not seen it {times} times within {seconds} s")
            time.sleep(_GLANCE)

    def kill(self) -> None:
        """As a crash ends it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        self._orders.close()
        if self._process.poll() is None:
            os.kill(self.pid, number)
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _has(self, seen: Callable[[Event], bool], times: int) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the relay has ended with {self._process.returncode}")
        return sum(map(seen, self.events())) >= times

    def _order(self, order: dict[str, Any]) -> None:
        self._orders.sendall(json.dumps(order).encode() + b"\n")
        answer = self._orders.recv(64)
        if answer != b"{}\n":
            raise RuntimeError(f"the relay did not do {order['do']}")

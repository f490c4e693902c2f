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
    """A line of the record: a recipient whom the relay has accepted; a mail for several has a line each.
    `file`: the message, if it is kept. `shown`: what its reader sees, as a digest."""

    recipient: str
    message_id: str
    connection: int
    time: float
    file: str
    shown: str = ""


class Event(NamedTuple):
    """`event`: connected, a stage (of behaviour.FaultStage), quit, limit (a MAIL too many), aborted (after
    RCPT, before the final dot was recorded), out_of_order (a command at the wrong time, unless PIPELINING
    lets it come behind one that was refused), refused (a reply that is a no; `address`: the recipient, where
    it is one's own), dropped (the relay closes without a word), closed. `line`: the command, if it was one;
    of `refused` the reply."""

    event: str
    connection: int
    address: str
    line: str
    time: float


def recorded(event: Event) -> bool:
    """Whether the relay has accepted somebody."""
    return event.event == "recorded"


class RelayProcess:
    """A relay, started with one Behaviour. Its port, record and events outlive it."""

    def __init__(self, folder: Path, behaviour: Behaviour = Behaviour()) -> None:  # noqa: B008 - frozen
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self._folder = folder
        self._record, self._events = folder / "record.jsonl", folder / "events.jsonl"
        self._read: list[Event] = []
        self._read_to = 0
        for file in (self._record, self._events):
            file.touch()
        # It does not listen: while the relay is away callers are refused, and nobody else takes the port.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind((self.host, 0))
        self.port: int = self._place.getsockname()[1]
        self._start(behaviour)

    def restart(self, behaviour: Behaviour | None = None) -> None:
        """Start again after an end, as a crash ends it unless it has ended: same port, and record and events
        go on; without `behaviour` it behaves as before, and counts faults anew."""
        self.kill()
        self._start(behaviour or self._behaviour)

    def _start(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        given = {
            "record": str(self._record),
            "events": str(self._events),
            "port": self.port,
            "behaviour": behaviour.as_json(),
        }
        log = self._folder / "relay.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.relays.relay", json.dumps(given)],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the relay did not start:\n{log.read_text()}")
        self.pid = self._process.pid
        self._orders = socket.create_connection((self.host, json.loads(line)["control"]), timeout=10)

    def record(self) -> list[Accepted]:
        """Everybody accepted so far, in order."""
        return [Accepted(**json.loads(line)) for line in self._record.read_bytes().splitlines()]

    def events(self) -> list[Event]:
        """Everything that has happened, in order."""
        with self._events.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written: what follows is the rest of it
                self._read.append(Event(**json.loads(line)))
                self._read_to += len(line)
        return self._read

    def behave(self, behaviour: Behaviour) -> None:
        """From now on behave so (TLS and what EHLO offered hold for new connections)."""
        self._behaviour = behaviour
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

    async def wait_for(self, seen: Callable[[Event], bool], *, times: int = 1, seconds: float = 60) -> None:
        """Until `times` events were `seen`; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not self._has(seen, times):  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(_GLANCE)

    def wait(self, seen: Callable[[Event], bool], *, times: int = 1, seconds: float = 60) -> None:
        """`wait_for`, for tests without an event loop."""
        end = time.monotonic() + seconds
        while not self._has(seen, times):
            if time.monotonic() > end:
                raise TimeoutError(f"the relay has not seen it {times} times within {seconds} s")
            time.sleep(_GLANCE)

    def kill(self) -> None:
        """As a crash ends it; harmless when it has ended."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, and let its port go; harmless when it has ended."""
        self._end(signal.SIGTERM)
        self._place.close()

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

"""An SMTP server that errs on order: a process of its own, standard library only.

    python -m tests.relays.relay '{"record": "…", "events": "…", "port": …, "behaviour": {…}}'

prints `{"control": …}` and serves until it is ended. `record` and `events` go on where they are. Each
accepted recipient is on disk, as a line of `record`, before the relay answers; what happens on the way is a
line of `events`. `control` takes one JSON object a line: {"do": "behave", "behaviour": {…}}, "release",
"kick", "stop_accepting", "accept", {"do": "say", "text": "…"}; each is answered by one line when it is done.
(`kick` also waits until every connection has ended, and releases what is held.)
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import sys
import time
from pathlib import Path
from typing import Any

from tests.relays.behaviour import Behaviour, Fault, FaultStage, behaviour
from tests.relays.dialogue import Dialogue, Over
from tests.relays.faults import Faults
from tests.relays.shown import digest_of_shown

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_LONGEST_LINE = 1 << 20


class Relay:
    """What all connections share: behaviour, record, counts of faults."""

    def __init__(self, record: Path, events: Path, behave: Behaviour) -> None:
        self._record = record.open("ab", buffering=0)
        self._events = events.open("ab", buffering=0)
        self.open: set[Dialogue] = set()
        self._connections = events.read_bytes().count(b'{"event": "connected"')
        self.accepted = record.read_bytes().count(b"\n")
        self.behave(behave)

    def behave(self, behave: Behaviour) -> None:
        """From now on behave so; the counts of faults begin anew, and held replies go out."""
        self.behaviour = behave
        self._faults = Faults(behave)
        self.released = asyncio.Event()

    def fault(self, stage: FaultStage, address: str) -> Fault | None:
        """The fault that strikes here and now."""
        return self._faults.strikes(stage, address)

    def event(self, name: str, connection: int, address: str = "", line: str = "") -> None:
        """Tell the tests."""
        told = {
            "event": name,
            "connection": connection,
            "address": address,
            "line": line,
            "time": time.time(),
        }
        self._events.write(json.dumps(told).encode() + b"\n")

    def record(self, recipient: str, data: bytes, connection: int) -> None:
        """On disk before the answer: the truth about who was accepted."""
        found = _MESSAGE_ID.search(data)
        self.accepted += 1
        line: dict[str, Any] = {
            "recipient": recipient,
            "message_id": found[1].decode() if found else "",
            "connection": connection,
            "time": time.time(),
            "file": "",
            "shown": digest_of_shown(data),
        }
        if self.behaviour.messages:
            file = Path(self.behaviour.messages) / f"{self.accepted}.eml"
            file.write_bytes(data)
            line["file"] = str(file)
        self._record.write(json.dumps(line).encode() + b"\n")
        if self.behaviour.fsync:
            os.fsync(self._record.fileno())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from beginning to end."""
        self._connections += 1
        dialogue = Dialogue(self, self._connections, reader, writer)
        self.open.add(dialogue)
        self.event("connected", dialogue.number)
        try:
            await dialogue.run()
        except Over as over:
            if over.cut:
                self.event("dropped", dialogue.number, dialogue.recipient)
            await dialogue.end(cut=over.cut)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            await dialogue.end(cut=True)
        finally:
            self.open.discard(dialogue)
            if dialogue.recipient:
                self.event("aborted", dialogue.number, dialogue.recipient)
            self.event("closed", dialogue.number)

    def is_full(self) -> bool:
        """Whether more connections are open than may be."""
        most = self.behaviour.max_connections
        return most is not None and len(self.open) > most

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.behaviour.certificate)
        return context


class Control:
    """The second port: one JSON object a line."""

    def __init__(self, relay: Relay, port: int) -> None:
        self._relay = relay
        self._server: asyncio.Server | None = None
        self._port = port

    async def accept(self) -> None:
        if self._server is None:
            tls = self._relay.tls() if self._relay.behaviour.tls == "implicit" else None
            self._server = await asyncio.start_server(
                self._relay.serve,
                "127.0.0.1",
                self._port,
                ssl=tls,
                limit=_LONGEST_LINE,
                backlog=500,
                reuse_port=True,  # whoever has started this process holds the port
            )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await self._do(json.loads(line))
            writer.write(b"{}\n")
            await writer.drain()
        writer.close()

    async def _do(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "behave":
                held = self._relay.released
                self._relay.behave(behaviour(order["behaviour"]))
                held.set()
            case "release":
                self._relay.released.set()
            case "kick":
                for dialogue in list(self._relay.open):
                    await dialogue.end(cut=True)
                self._relay.released.set()
                while self._relay.open:  # noqa: ASYNC110 - a handful of turns of the loop
                    await asyncio.sleep(0)
            case "say":
                for dialogue in list(self._relay.open):
                    dialogue.say(order["text"])
                    await dialogue.flush()
            case "stop_accepting":
                if self._server is not None:
                    self._server.close()
                    self._server = None
            case "accept":
                await self.accept()
            case unknown:
                raise ValueError(f"unknown order {unknown}")


async def main(given: dict[str, Any]) -> None:
    relay = Relay(Path(given["record"]), Path(given["events"]), behaviour(given["behaviour"]))
    control = Control(relay, given["port"])
    await control.accept()
    orders = await asyncio.start_server(control.serve, "127.0.0.1", 0, limit=_LONGEST_LINE)
    print(json.dumps({"control": orders.sockets[0].getsockname()[1]}), flush=True)
    await orders.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

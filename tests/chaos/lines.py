"""Lines that can be harmed: toxiproxy between a worker and what it talks to.

A line listens on a port of its own for good, and leads wherever it is told; harms act on the connections that
are open, too. See https://github.com/Shopify/toxiproxy for the toxics.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
from pathlib import Path
from typing import Any

from batchmail.engine.ports import LOOPBACK, any_free
from scripts.tools import toxiproxy

_START = 10.0  # seconds
_A_LOOK = 0.02


class Lines:
    """A toxiproxy process."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "toxiproxy.log"
        self._control = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError."""
        self._control = any_free().temporal
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a moment
                [toxiproxy(), "-host", LOOPBACK, "-port", str(self._control)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(_START):
                while not await self._answers():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_A_LOOK)
        except TimeoutError:
            raise RuntimeError(f"toxiproxy did not start: see {self._log}") from None

    async def line(self, name: str, to: str) -> Line:
        """A new line to this host and port."""
        made = await self.order("POST", "/proxies", {"name": name, "listen": f"{LOOPBACK}:0", "upstream": to})
        return Line(self, name, str(made["listen"]))

    async def order(self, method: str, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """Tell it something. Raises RuntimeError where it refuses."""
        return await asyncio.to_thread(self._order, method, path, content)

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    async def _answers(self) -> bool:
        try:
            await self.order("GET", "/proxies")
        except OSError:
            return False
        return True

    def _order(self, method: str, path: str, content: dict[str, Any] | None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(LOOPBACK, self._control, timeout=10)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"toxiproxy answers {answer.status} to {method} {path}: {said.decode()}")
        return dict(json.loads(said)) if said else {}


class Line:
    """One line. Each harm replaces the one before, and `mend` ends them all."""

    def __init__(self, lines: Lines, name: str, address: str) -> None:
        self._lines, self._path = lines, f"/proxies/{name}"
        self.address = address
        self._toxics: list[str] = []
        self._turn = asyncio.Lock()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.address.rpartition(":")[2])

    async def lead(self, to: str) -> None:
        """From now on to this host and port; connections that are open are cut."""
        await self._lines.order("POST", self._path, {"upstream": to})

    async def cut(self) -> None:
        """Cut every connection, and refuse new ones."""
        await self._harm({"enabled": False})

    async def half_open(self) -> None:
        """Connections stay open, new ones too, and nothing arrives either way."""
        await self._harm(None, timeout={"timeout": 0})

    async def reset(self) -> None:
        """Cut every connection by a TCP reset, new ones as soon as something is sent."""
        await self._harm(None, reset_peer={"timeout": 0})

    async def delay(self, seconds: float) -> None:
        """All that is said takes so long, each way."""
        milliseconds = int(1000 * seconds)
        await self._harm(None, latency={"latency": milliseconds, "jitter": milliseconds // 3})

    async def slow(self, kilobytes: int) -> None:
        """So many kilobytes a second, each way."""
        await self._harm(None, bandwidth={"rate": kilobytes})

    async def mend(self) -> None:
        """As it was. Connections that were half-open end."""
        async with self._turn:
            await self._mend()

    async def _harm(self, change: dict[str, Any] | None, **toxics: dict[str, int]) -> None:
        async with self._turn:
            await self._mend()
            if change is not None:
                await self._lines.order("POST", self._path, change)
            for kind, attributes in toxics.items():
                for stream in ("upstream", "downstream"):
                    name = f"{kind}-{stream}"
                    toxic = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
                    await self._lines.order("POST", f"{self._path}/toxics", toxic)
                    self._toxics.append(name)

    async def _mend(self) -> None:
        while self._toxics:
            await self._lines.order("DELETE", f"{self._path}/toxics/{self._toxics.pop()}")
        await self._lines.order("POST", self._path, {"enabled": True})

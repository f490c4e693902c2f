"""Whether a worker lives and serves, for whoever runs it: two answers over HTTP, at BATCH_HEALTH_ADDRESS.

    GET /live     200 while the process and its event loop run
    GET /ready    200 while it serves batches and Temporal answers; else 503, and why

Answers are one line of text that names nobody. There is no login: let only those who watch reach the address.
Does not say whether the relay or the store answers: batches wait for these, and a worker started anew would
wait as well.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from batchmail.errors import BatchmailError, OutOfReachError, SettingsError
from batchmail.settings import Listen, read_settings

ASKED_EVERY = 5.0
"""Seconds for which Temporal's last answer stands, however often `/ready` is asked."""

_LONGEST_REQUEST = 4_096  # octets
_SLOWEST_REQUEST = 3.0  # seconds
_MOST_AT_ONCE = 32
_PATIENCE = 5.0  # seconds, of the one who checks

Probe = Callable[[], Awaitable[str]]
"""Asks Temporal; "" when it answers, else why that is no answer. Ends within a few seconds."""


class Health:
    """What is known of one worker."""

    def __init__(self) -> None:
        self._why_not = "it is connecting to Temporal"
        self._probe: Probe | None = None
        self._asked_at = -ASKED_EVERY
        self._asking = asyncio.Lock()

    def serving(self, probe: Probe) -> None:
        """From now on it is ready whenever `probe` says so."""
        self._probe = probe

    def stopping(self) -> None:
        """From now on it is not ready."""
        self._probe = None
        self._why_not = "it is stopping"

    async def why_not_ready(self) -> str:
        """Why the worker is not ready, or "" when it is."""
        async with self._asking:
            probe, now = self._probe, time.monotonic()
            if probe is not None and now >= self._asked_at + ASKED_EVERY:
                found = await probe()
                if self._probe is probe:
                    self._why_not, self._asked_at = found, time.monotonic()
            return self._why_not


@asynccontextmanager
async def health_endpoint(address: Listen | None, health: Health) -> AsyncIterator[None]:
    """Answer at `address` while inside; nothing where it is None. Raises SettingsError."""
    if address is None:
        yield
        return
    endpoint = _Endpoint(health)
    try:
        server = await asyncio.start_server(
            endpoint.converse, address.host, address.port, limit=_LONGEST_REQUEST
        )
    except OSError as error:
        raise SettingsError(
            f"BATCH_HEALTH_ADDRESS: nothing can listen at {address} ({error.strerror}): give each worker of "
            "this machine an address of its own, or none."
        ) from None
    try:
        yield
    finally:
        server.close()


class _Endpoint:
    """One request a connection, bounded in size, time and number."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._open = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= _MOST_AT_ONCE:
            writer.transport.abort()
            return
        self._open += 1
        try:
            with suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_SLOWEST_REQUEST):
                    request = await reader.readuntil(b"\r\n\r\n")
                answer = await self._answer(request)
                async with asyncio.timeout(_SLOWEST_REQUEST):
                    writer.write(answer)
                    await writer.drain()
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path not in (b"/live", b"/ready"):
            return _response(HTTPStatus.NOT_FOUND, "ask for /live or /ready")
        if method not in (b"GET", b"HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, "only GET", "Allow: GET, HEAD")
        why_not = await self._health.why_not_ready() if path == b"/ready" else ""
        if why_not:
            response = _response(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {why_not}")
        else:
            response = _response(HTTPStatus.OK, path[1:].decode())
        return response if method == b"GET" else response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _response(status: HTTPStatus, said: str, *headers: str) -> bytes:
    body = f"{said}\n".encode()
    lines = (
        f"HTTP/1.1 {status} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def check() -> int:
    """Ask the worker at BATCH_HEALTH_ADDRESS whether it is ready: 0 if so, else 1 and one sentence on stderr.

    (No other code: Docker keeps 2 for itself.)
    """
    try:
        _ask(read_settings().batch_health_address)
    except BatchmailError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _ask(address: Listen | None) -> None:
    """Return if the worker at `address` is ready. Raises SettingsError, OutOfReachError."""
    if address is None:
        raise SettingsError("BATCH_HEALTH_ADDRESS is not set: set it for this command and for the worker.")
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        said = response.read(_LONGEST_REQUEST).decode("ascii", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise OutOfReachError(f"No worker answers at {address} ({why}).") from None
    finally:
        connection.close()
    if response.status != HTTPStatus.OK or said != "ready":
        raise OutOfReachError(f"What answers at {address} says: {said.partition(chr(10))[0][:200]}.")

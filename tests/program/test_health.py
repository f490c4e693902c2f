"""Whether a worker lives and serves, as those who watch it ask: over HTTP and by `worker.py --check`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from batchmail.engine import health
from batchmail.engine.health import Health, health_endpoint
from batchmail.engine.ports import LOOPBACK
from batchmail.errors import SettingsError
from batchmail.settings import Listen
from tests.program.addresses import free
from tests.program.bench import CHECKOUT, Bench, WorkerProcess
from tests.relays import Behaviour, Fault


async def said(
    address: Listen, request: str = "GET /ready HTTP/1.1\r\nHost: here\r\n\r\n"
) -> tuple[int, str]:
    """Status and body of the answer to `request`; (0, "") where the connection is closed without one."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request.encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    except ConnectionError:
        return 0, ""
    finally:
        writer.close()
    return (int(head.split()[1]), body.strip()) if head else (0, "")


def checked(folder: Path, address: Listen | None) -> subprocess.CompletedProcess[str]:
    """What `worker.py --check` says."""
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "worker.py"), "--check"],
        cwd=folder,
        env=os.environ | ({"BATCH_HEALTH_ADDRESS": str(address)} if address else {}),
        capture_output=True,
        text=True,
        timeout=60,
    )


async def until_ready(address: Listen) -> None:
    """Until it says that it is ready: Temporal may be slow to answer it."""
    async with asyncio.timeout(60):
        while await said(address) != (200, "ready"):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)


async def until_checked(folder: Path, address: Listen, exit_code: int) -> str:
    """What `--check` says on stderr, once it ends so."""
    end = time.monotonic() + 60
    while True:
        found = await asyncio.to_thread(checked, folder, address)
        if found.returncode == exit_code or time.monotonic() > end:
            assert found.returncode == exit_code, found
            assert found.stdout == ""
            return found.stderr


class Wire:
    """A way to an address on this machine that can be cut."""

    def __init__(self, to: str) -> None:
        self._to = int(to.rpartition(":")[2])
        self._writers: list[asyncio.StreamWriter] = []
        self._is_cut = False
        self.server: asyncio.Server | None = None

    async def open(self) -> str:
        """Carry from now on; the address at which it begins."""
        self.server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        return f"{LOOPBACK}:{self.server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Cut every connection, now and later."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self._is_cut:
            writer.transport.abort()
            return
        there, to = await asyncio.open_connection(LOOPBACK, self._to)
        self._writers.append(to)
        await asyncio.gather(_copy(reader, to), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_worker_is_ready_until_temporal_no_longer_answers_and_lives_on(bench: Bench) -> None:
    address = free()
    wire = Wire(bench.environment["TEMPORAL_ADDRESS"])
    try:
        worker = await bench.worker(TEMPORAL_ADDRESS=await wire.open(), BATCH_HEALTH_ADDRESS=str(address))
        await until_ready(address)
        assert await said(address, "GET /live HTTP/1.0\r\n\r\n") == (200, "live")
        assert await until_checked(bench.folder, address, 0) == ""
        wire.cut()
        told = await until_checked(bench.folder, address, 1)
        assert re.fullmatch(
            rf"error: What answers at {address} says: not ready: Temporal does not answer it \([A-Z_]+\)\.\n",
            told,
        )
        assert await said(address, "GET /live HTTP/1.1\r\n\r\n") == (200, "live")
        worker.stop()
    finally:
        wire.cut()
        assert wire.server is not None
        wire.server.close()


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="recorded", do="hold"),)))
async def test_a_worker_that_stops_is_not_ready_while_its_slices_hand_back(bench: Bench) -> None:
    address = free()
    worker = await bench.worker(BATCH_HEALTH_ADDRESS=str(address), BATCH_GRACE="100s")
    await bench.start(4, connections=1, slice_size=4)
    await bench.relay.wait_for(lambda event: event.event == "recorded")
    await until_ready(address)
    worker.signal(signal.SIGTERM)
    while (answer := await said(address))[0] == 200:
        pass
    assert answer == (503, "not ready: it is stopping")
    bench.relay.release()
    assert await worker.ended() == 0


async def test_a_worker_that_is_still_connecting_lives_and_is_not_ready(tmp_path: Path) -> None:
    connecting = asyncio.Event()
    open_now: list[asyncio.StreamWriter] = []

    def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.append(writer)
        connecting.set()

    server = await asyncio.start_server(silent, LOOPBACK, 0)
    address = free()
    worker = WorkerProcess(
        {
            "TEMPORAL_ADDRESS": f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}",
            "SMTP_HOST": LOOPBACK,
            "BATCH_HEALTH_ADDRESS": str(address),
        },
        tmp_path / "worker.log",
    )
    try:
        await asyncio.wait_for(connecting.wait(), 60)
        assert await said(address) == (503, "not ready: it is connecting to Temporal")
        assert await said(address, "GET /live HTTP/1.1\r\n\r\n") == (200, "live")
    finally:
        worker.stop()
        server.close()
        for writer in open_now:
            writer.transport.abort()


def test_a_check_without_an_address_or_a_worker_is_one_sentence(tmp_path: Path) -> None:
    unset = checked(tmp_path, None)
    assert (unset.returncode, unset.stderr) == (
        1,
        "error: BATCH_HEALTH_ADDRESS is not set: set it for this command and for the worker.\n",
    )
    address = free()
    alone = checked(tmp_path, address)
    assert (alone.returncode, alone.stderr) == (
        1,
        f"error: No worker answers at {address} (Connection refused).\n",
    )


async def test_a_second_worker_at_the_same_address_is_refused_in_one_sentence() -> None:
    address = free()
    async with health_endpoint(address, Health()):
        with pytest.raises(SettingsError, match=r"BATCH_HEALTH_ADDRESS: nothing can listen at 127\.0\.0\.1:"):
            async with health_endpoint(address, Health()):
                pass


@pytest.fixture
async def endpoint() -> AsyncIterator[Listen]:
    """Where a worker that is connecting answers."""
    address = free()
    async with health_endpoint(address, Health()):
        yield address


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /ready?verbose HTTP/1.1", 503),
        ("HEAD /live HTTP/1.1", 200),
        ("POST /live HTTP/1.1", 405),
        ("GET / HTTP/1.1", 404),
        ("GET /metrics HTTP/1.1", 404),
        ("EHLO here", 404),
    ],
)
async def test_what_is_asked_else_is_refused(endpoint: Listen, request_line: str, status: int) -> None:
    found = await said(endpoint, f"{request_line}\r\nHost: here\r\n\r\n")
    assert found[0] == status
    assert (found[1] == "") == request_line.startswith("HEAD")


async def test_a_request_that_is_too_long_or_too_slow_is_dropped(
    endpoint: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await said(endpoint, "GET /live HTTP/1.1\r\nX: " + "x" * 20_000 + "\r\n\r\n") == (0, "")
    monkeypatch.setattr(health, "_SLOWEST_REQUEST", 0.05)
    assert await said(endpoint, "GET /live HTTP/1.1\r\n") == (0, "")


async def test_more_than_a_few_connections_at_once_are_dropped(endpoint: Listen) -> None:
    held = [await asyncio.open_connection(*endpoint) for _ in range(health._MOST_AT_ONCE)]
    while (answer := await said(endpoint))[0]:  # until the endpoint has met all that are held
        pass
    assert answer == (0, "")
    for _, writer in held:
        writer.close()
    while not (await said(endpoint))[0]:
        pass


async def test_temporal_is_asked_no_more_often_than_its_answer_stands() -> None:
    asked = 0

    async def probe() -> str:
        nonlocal asked
        asked += 1
        return ""

    watched = Health()
    watched.serving(probe)
    assert [await watched.why_not_ready() for _ in range(20)] == [""] * 20
    assert asked == 1

"""A line between a worker and Temporal that loses what either says, or is cut."""

from __future__ import annotations

import asyncio

from tests.program.bench import Bench


class Deaf:
    """A proxy between a worker and Temporal that can swallow the server's answers, while requests still
    arrive, or the worker's requests."""

    def __init__(self, bench: Bench) -> None:
        self._host, _, port = bench.environment["TEMPORAL_ADDRESS"].rpartition(":")
        self._port = int(port)
        self._swallow = self._lose = False
        self._seen = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Deaf:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow_answers(self) -> None:
        """From now on nothing that the server says arrives."""
        self._swallow = True

    def pass_answers(self) -> None:
        """From now on new connections work again; those whose answers were swallowed are cut."""
        self._swallow = False
        self.cut()

    def lose_requests(self) -> None:
        """From now on, to the end, nothing that the worker says arrives."""
        self._lose = True

    def cut(self) -> None:
        """Close every connection; new ones work."""
        for task in self._tasks:
            task.cancel()

    async def swallowed(self) -> None:
        """Until an answer was swallowed."""
        await self._seen.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        pumps = (self._pump(reader, back, answers=False), self._pump(there, writer, answers=True))
        both = [asyncio.create_task(pump) for pump in pumps]
        self._tasks.update(both)
        await asyncio.gather(*both, return_exceptions=True)
        for end in (back, writer):
            end.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            if answers and self._swallow:
                self._seen.set()
                continue
            if not answers and self._lose:
                continue
            sink.write(data)
            await sink.drain()

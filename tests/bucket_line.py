"""A line to an object store, with faults: each request takes its time, and listings lag behind writes.

Amazon S3, Google and Azure list at once what was written; a store that does not is imitated here, since the
real server of the tests (tests/buckets.py) does as they do.
"""

from __future__ import annotations

import asyncio
import re

from batchmail.engine.ports import LOOPBACK

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n"
_NOTHING = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Name>mails</Name><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
    b"</ListBucketResult>"
)


class BucketLine:
    """A proxy before the server at `port`.

    `seconds`: how much longer each request takes. `lags`: a listing of a folder with this in its name shows
    nothing yet; empty: none does. `listings`: how many such it has answered.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.seconds = 0.0
        self.lags = ""
        self.listings = 0

    async def __aenter__(self) -> BucketLine:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.url = f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection(LOOPBACK, self._port)
        try:
            while True:
                request = await _message(reader)
                await asyncio.sleep(self.seconds)
                if self._hides(request):
                    self.listings += 1
                    length = f"Content-Length: {len(_NOTHING)}".encode()
                    writer.write(_OK + length + b"\r\n\r\n" + _NOTHING)
                else:
                    back.write(request)
                    await back.drain()
                    writer.write(await _message(there, bodiless=request.startswith(b"HEAD")))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            back.close()
            writer.close()
            self._tasks.discard(task)

    def _hides(self, request: bytes) -> bool:
        line = request.partition(b"\r\n")[0].decode("ascii", "replace").replace("%2F", "/")
        return bool(self.lags) and line.startswith("GET ") and "list-type=2" in line and self.lags in line


async def _message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> bytes:
    """A request or a reply, whole: with a length, with chunks, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    if bodiless:
        return head
    if b"transfer-encoding: chunked" in head.lower():
        body = b""
        while not body.endswith(b"\r\n0\r\n\r\n") and body != b"0\r\n\r\n":
            body += await reader.readuntil(b"\r\n")
        return head + body
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")

"""The reference: a bare loop of aiosmtplib on uvloop, whose messages are prepared beforehand.

    python -m benchmarks.bare PORT RECIPIENTS CONNECTIONS OCTETS

It is given every advantage: no list, no template, no record of who was mailed, messages in memory and
connections open before its clock starts. It prints one JSON object. Killed in the middle, it leaves nobody
who knows whom it mailed.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from statistics import median

import aiosmtplib
import uvloop
from pydantic import BaseModel, ConfigDict

from batchmail.engine.ports import LOOPBACK
from benchmarks.processes import BenchmarkError, finished

SENDER = "news@sender.example"
_LINE = b"x" * 70 + b"\r\n"


class BareRun(BaseModel):
    """What the loop came to. `round_trip`: seconds from a command to its reply, while all is idle."""

    model_config = ConfigDict(frozen=True)

    accepted: int
    seconds: float
    cpu: float
    round_trip: float


def bare(folder: Path, port: int, *, recipients: int, connections: int, octets: int) -> BareRun:
    """Run the loop in a process of its own. Raises BenchmarkError unless everybody was mailed."""
    arguments = map(str, (port, recipients, connections, octets))
    said = finished(
        [sys.executable, "-m", "benchmarks.bare", *arguments], folder, name="bare loop", seconds=600
    )
    run = BareRun.model_validate_json(said)
    if run.accepted != recipients:
        raise BenchmarkError(f"the bare loop mailed {run.accepted:,} of {recipients:,} recipients")
    return run


async def mail(port: int, recipients: int, connections: int, octets: int) -> BareRun:
    """Mail recipient after recipient over each connection."""
    messages = [_message(number, octets) for number in range(recipients)]
    clients = [
        aiosmtplib.SMTP(hostname=LOOPBACK, port=port, use_tls=False, start_tls=False)
        for _ in range(connections)
    ]
    for client in clients:
        await client.connect()
    round_trip = await _round_trip(clients[0])
    left = iter(range(recipients))
    accepted = 0

    async def lane(client: aiosmtplib.SMTP) -> None:
        nonlocal accepted
        for number in left:
            refused, _ = await client.sendmail(SENDER, [f"reader-{number}@example.com"], messages[number])
            accepted += not refused

    cpu, start = _cpu(), time.perf_counter()
    await asyncio.gather(*map(lane, clients))
    seconds, cpu = time.perf_counter() - start, _cpu() - cpu
    await asyncio.gather(*(client.quit() for client in clients))
    return BareRun(accepted=accepted, seconds=seconds, cpu=cpu, round_trip=round_trip)


async def _round_trip(client: aiosmtplib.SMTP) -> float:
    async def once() -> float:
        start = time.perf_counter()
        await client.noop()
        return time.perf_counter() - start

    return median([await once() for _ in range(5)])


def _message(number: int, octets: int) -> bytes:
    """A mail of exactly so many octets."""
    head = b"Subject: News for reader %d\r\nMessage-ID: <%d@sender.example>\r\n\r\n" % (number, number)
    lines, rest = divmod(octets - len(head), len(_LINE))
    return head + _LINE * (lines - 1) + b"x" * rest + _LINE


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    print(json.dumps(uvloop.run(mail(*numbers)).model_dump()))

"""Connect to the first of a host's addresses that answers, so that a dead one cannot take all the time.

By ourselves, since aiosmtplib knows one time-out for the connection and for the greeting, which may take ten
times as long.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple


class Address(NamedTuple):
    """One address of a host, as getaddrinfo gives it."""

    family: int
    kind: int
    protocol: int
    place: Any
    """(host, port), and two numbers more for IPv6: whatever the family's connect takes."""


async def connected(host: str, port: int, seconds: float) -> socket.socket:
    """A socket connected to `host` within `seconds`. Raises OSError (TimeoutError is one)."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    async with asyncio.timeout_at(until):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [Address(family, kind, protocol, place) for family, kind, protocol, _, place in found]
    return await first_to_answer(addresses, until)


async def first_to_answer(addresses: Sequence[Address], until: float) -> socket.socket:
    """A socket connected to one of `addresses`, tried in order, before the event loop's time is `until`.

    Each has its share of the time that is left: behind an IPv6 that leads nowhere IPv4 is still reached. What
    the last one said is raised, as OSError.
    """
    loop = asyncio.get_running_loop()
    failure = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            async with asyncio.timeout((until - loop.time()) / (len(addresses) - number)):
                return await _connect(address)
        except OSError as error:
            failure = error
    raise failure


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, address.kind, address.protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.place)
    except BaseException:
        sock.close()
        raise
    return sock

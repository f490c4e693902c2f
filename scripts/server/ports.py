"""Ports for the stack's servers: those they had, or the usual ones, where free; else any."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable

from batchmail.engine.ports import LOOPBACK

# Below the range from which systems take ports for outgoing connections, of which the stack makes many.
_RANGE = range(15_000, 32_000)


def is_free(port: int) -> bool:
    """Whether nobody listens on the port; somebody may a moment later."""
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True


def choose(count: int, preferred: Iterable[int | None] = ()) -> tuple[int, ...]:
    """`count` free and different ports: of the preferred ones, each in its place, those that are free."""
    wanted = [*preferred, *[None] * count][:count]
    chosen: list[int] = []
    for port in wanted:
        while port is None or port in chosen or not is_free(port):
            port = random.choice(_RANGE)  # noqa: S311
        chosen.append(port)
    return tuple(chosen)

"""Ports for the development server: the usual ones where they are free."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

LOOPBACK = "127.0.0.1"


class Ports(NamedTuple):
    """The two ports a person meets: Temporal's own and the Web UI's."""

    temporal: int
    ui: int


USUAL = Ports(7233, 8233)


def candidates(*preferred: Ports | None, tries: int = 5) -> Iterator[Ports]:
    """Pairs to try in turn: the preferred ones that are free, then any free ones.

    A port seen free can be taken by another program before the server binds it, so several are offered.
    """
    for ports in preferred:
        if ports is not None and _are_free(ports):
            yield ports
    for _ in range(tries):
        yield any_free()


def _are_free(ports: Ports) -> bool:
    try:
        with ExitStack() as sockets:
            for port in ports:
                sockets.enter_context(socket.create_server((LOOPBACK, port)))
    except OSError:
        return False
    return True


def any_free() -> Ports:
    """Two free ports; nothing holds them, so another program may be quicker."""
    with ExitStack() as sockets:
        # Both are held at once, so they differ.
        taken = [sockets.enter_context(socket.create_server((LOOPBACK, 0))) for _ in Ports._fields]
        return Ports(*(each.getsockname()[1] for each in taken))

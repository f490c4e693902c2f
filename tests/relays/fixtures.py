"""Fixtures that start relays and end them, and the choice of event loops: a plugin of tests/conftest.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
import trustme
import uvloop

from tests.relays.behaviour import Behaviour
from tests.relays.process import RelayProcess

ON_BOTH_LOOPS = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
"""For tests of what the two event loops do differently."""


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop, and uvloop's too where ON_BOTH_LOOPS asks for it."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    mark = item.get_closest_marker("asyncio")
    if mark is not None and "loop_factories" in mark.kwargs:
        loops["uvloop"] = uvloop.new_event_loop
    return loops


class StartRelay(Protocol):
    """Starts a relay; it is ended with the test."""

    def __call__(self, behaviour: Behaviour = ..., /) -> RelayProcess: ...


class Certificates(NamedTuple):
    """Files: the authority to trust, and chain with key for `localhost` and 127.0.0.1."""

    authority: Path
    server: Path


@pytest.fixture
def start_relay(tmp_path: Path) -> Iterator[StartRelay]:
    """Start any number of relays."""
    started: list[RelayProcess] = []

    def start(behaviour: Behaviour = Behaviour(), /) -> RelayProcess:  # noqa: B008 - frozen
        started.append(RelayProcess(tmp_path / f"relay-{len(started)}", behaviour))
        return started[-1]

    yield start
    for relay in started:
        relay.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throwaway authority, and a server's certificate from it."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    found = Certificates(folder / "authority.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(found.authority)
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(found.server)
    return found

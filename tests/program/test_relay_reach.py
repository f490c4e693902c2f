"""Which of a host's addresses is connected to, where some of them do not answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from batchmail.relay.reach import Address, connected, first_to_answer
from tests.relays.fixtures import ON_BOTH_LOOPS, StartRelay

pytestmark = ON_BOTH_LOOPS


def address(port: int) -> Address:
    return Address(socket.AF_INET, socket.SOCK_STREAM, 0, ("127.0.0.1", port))


@pytest.fixture
def black_hole() -> Iterator[Address]:
    """An address that never answers: the queue of whoever listens there is full, and the rest is dropped."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        place = full.getsockname()
        queued = []
        while True:
            sock = socket.socket()
            queued.append(sock)
            sock.settimeout(0.2)
            try:
                sock.connect(place)
            except TimeoutError:
                break
        yield address(place[1])
        for sock in queued:
            sock.close()


@pytest.fixture
def refusing() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        return address(closed_soon.getsockname()[1])


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_behind_addresses_that_never_answer_the_next_is_reached_in_time(
    start_relay: StartRelay, black_hole: Address
) -> None:
    relay = start_relay()
    until = soon(4.5)
    with await first_to_answer([black_hole, black_hole, address(relay.port)], until) as sock:
        assert sock.getpeername()[1] == relay.port
    assert until - 2.25 < soon(0) < until


async def test_an_address_that_refuses_takes_nobodys_time(start_relay: StartRelay, refusing: Address) -> None:
    relay = start_relay()
    with await first_to_answer([refusing, address(relay.port)], soon(60)) as sock:
        assert sock.getpeername()[1] == relay.port


async def test_where_none_answers_the_time_is_up_for_all_together(black_hole: Address) -> None:
    until = soon(2)
    with pytest.raises(TimeoutError):
        await first_to_answer([black_hole] * 5, until)
    assert until <= soon(0.1) < until + 6, "not once for each of the five"


async def test_what_the_last_address_said_is_told(black_hole: Address, refusing: Address) -> None:
    with pytest.raises(ConnectionRefusedError):
        await first_to_answer([black_hole, refusing], soon(4))


async def test_a_host_is_reached_by_its_name(start_relay: StartRelay) -> None:
    relay = start_relay()
    with await connected("localhost", relay.port, 10) as sock:
        assert sock.getpeername()[1] == relay.port

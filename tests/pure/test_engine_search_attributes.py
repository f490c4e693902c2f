"""Search attributes on a server that lets a worker do less than ours do, such as Temporal Cloud."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from batchmail.batch.search_attributes import SearchAttribute
from batchmail.engine import search_attributes
from batchmail.engine.search_attributes import SearchAttributes


class Server:
    """A server's answers to the three calls, in place of one that cannot be had here.

    `has`: the attributes it has. `refuses`: what each call meets, as often as there is something.
    """

    namespace = "batches.acct"

    def __init__(self, has: Sequence[SearchAttribute] = (), **refuses: Sequence[RPCStatusCode]) -> None:
        self._has = has
        self._refuses = {call: list(codes) for call, codes in refuses.items()}
        self.operator_service = self.workflow_service = self

    def _answer(self, call: str) -> None:
        if codes := self._refuses.get(call):
            raise RPCError("no, this is not yours to do.", codes.pop(0), b"")

    async def list_search_attributes(self, *_: Any, **__: Any) -> ListSearchAttributesResponse:
        """Names and types."""
        self._answer("list")
        return ListSearchAttributesResponse(
            custom_attributes={name: search_attributes._type(name) for name in self._has}
        )

    async def add_search_attributes(self, *_: Any, **__: Any) -> None:
        """Creates none."""
        self._answer("add")

    async def count_workflow_executions(self, *_: Any, **__: Any) -> None:
        """A search."""
        self._answer("count")


async def names(server: Server) -> tuple[SearchAttribute, ...]:
    """What a worker of this server sets."""
    known = SearchAttributes()
    async with known.prepared(cast(Client, server)):
        return known.names


DENIED = RPCStatusCode.PERMISSION_DENIED


async def test_a_worker_that_may_not_create_them_says_what_to_do_and_goes_on_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert await names(Server(add=[DENIED])) == ()
    (line,) = caplog.messages
    assert "does not let this worker create them (no, this is not yours to do)" in line
    assert "search-attribute create --namespace batches.acct --name BatchmailStatus --type Keyword" in line


async def test_those_that_an_operator_has_created_are_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert await names(Server(tuple(SearchAttribute), add=[DENIED])) == tuple(SearchAttribute)
    assert not caplog.messages
    some = (SearchAttribute.STATUS, SearchAttribute.TOTAL)
    assert await names(Server(some, add=[DENIED])) == some
    (line,) = caplog.messages
    assert "--name BatchmailList" in line
    assert "--name BatchmailTotal" not in line


@pytest.mark.parametrize("call", ["list", "count"])
async def test_a_login_that_may_not_even_look_does_without(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert await names(Server(tuple(SearchAttribute), **{call: [DENIED] * 2})) == ()
    assert len(caplog.messages) == 1


async def test_a_server_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_attributes, "SETTLE", timedelta(0))
    busy = [RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED]
    server = Server(tuple(SearchAttribute), list=busy, count=[RPCStatusCode.UNAVAILABLE])
    assert await names(server) == tuple(SearchAttribute)


async def test_attributes_that_the_server_does_not_search_by_yet_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(tuple(SearchAttribute), count=[RPCStatusCode.INVALID_ARGUMENT])
    monkeypatch.setattr(search_attributes, "_AT_START", timedelta(seconds=0.1))
    assert await names(server) == (), "a worker's start does not wait for them"
    monkeypatch.setattr(search_attributes, "SETTLE", timedelta(0))
    server = Server(tuple(SearchAttribute), count=[RPCStatusCode.INVALID_ARGUMENT])
    assert await names(server) == tuple(SearchAttribute)

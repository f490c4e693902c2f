"""The batch's search attributes on the Temporal server: created where this login may, done without elsewhere.

A batch that set an attribute its server does not know would fail its workflow task again and again. So a
worker says which ones the server takes (`names`), each batch is told so as it is opened, and sets only those.

A server that has just been given an attribute tells its own processes one after the other, within seconds. So
new ones count only after SETTLE, and batches opened before are not found by them; except on a server that
looks anew at every use, as the embedded one does: there they count at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import CountWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from batchmail.batch.search_attributes import SearchAttribute

log = logging.getLogger(__name__)

SETTLE = timedelta(seconds=15)
"""A server's processes look for new attributes every two seconds, those of older servers every ten."""

_CALL = timedelta(seconds=5)
_AT_START = timedelta(seconds=2)
_FOR_GOOD = (
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.UNIMPLEMENTED,
    RPCStatusCode.INVALID_ARGUMENT,
)


@dataclass
class SearchAttributes:
    """Which of them the server takes, as far as is known: `names`."""

    names: tuple[SearchAttribute, ...] = ()

    @asynccontextmanager
    async def prepared(self, client: Client, *, encrypted: bool = False) -> AsyncIterator[None]:
        """Find or create them. Entering takes two seconds at most; what takes longer is done while inside.

        Never raises: a batch without search attributes is a batch all the same. `encrypted`: payloads are,
        and search attributes cannot be, so a list's name is not made one.
        """
        unwanted = {SearchAttribute.LIST} if encrypted else set()
        wanted = tuple(name for name in SearchAttribute if name not in unwanted)
        preparing = asyncio.create_task(self._prepare(client, wanted))
        try:
            await asyncio.wait({preparing}, timeout=_AT_START.total_seconds())
            yield
        finally:
            preparing.cancel()

    async def _prepare(self, client: Client, wanted: Sequence[SearchAttribute]) -> None:
        while True:
            try:
                there, refusal = await _find_or_create(client, wanted)
                while not await _takes(client, there):  # noqa: ASYNC110 - the server's state
                    await asyncio.sleep(SETTLE.total_seconds())
                self.names = there
            except RPCError as error:
                if error.status not in _FOR_GOOD:
                    await asyncio.sleep(SETTLE.total_seconds())
                    continue
                refusal = _said(error)
            if lacking := [name for name in wanted if name not in self.names]:
                log.info(_remedy(client.namespace, lacking, refusal))
            return


async def _find_or_create(
    client: Client, wanted: Sequence[SearchAttribute]
) -> tuple[tuple[SearchAttribute, ...], str]:
    """Those that are there, and why the others could not be created. Raises RPCError."""
    types = await _types(client)
    refusal = ""
    if missing := [name for name in wanted if name not in types]:
        refusal = await _create(client, missing)
        types = await _types(client)
    return tuple(name for name in wanted if types.get(name) == _type(name)), refusal


async def _types(client: Client) -> dict[str, int]:
    """The namespace's own search attributes and their types."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=_CALL
    )
    return {name: int(kind) for name, kind in listed.custom_attributes.items()}


async def _create(client: Client, names: Sequence[SearchAttribute]) -> str:
    """Create them; without the numbers where those have no place left. Returns why the server refused.

    All in one call: of two calls within seconds the second may undo the first. Those that another worker was
    quicker to create stay as they are.
    """
    refusal = ""
    for some in (names, [name for name in names if not name.is_number]):
        try:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace, search_attributes={name: _type(name) for name in some}
                ),
                timeout=_CALL,
            )
        except RPCError as error:
            if error.status not in _FOR_GOOD:
                raise
            refusal = refusal or _said(error)
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                continue
        break
    return refusal


async def _takes(client: Client, names: Sequence[SearchAttribute]) -> bool:
    """Whether the server takes a query with all of them. Raises RPCError."""
    if not names:
        return True
    query = " AND ".join(f"{name} = {0 if name.is_number else repr('none')}" for name in names)
    try:
        await client.workflow_service.count_workflow_executions(
            CountWorkflowExecutionsRequest(namespace=client.namespace, query=query), timeout=_CALL
        )
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            return False
        raise
    return True


def _type(name: SearchAttribute) -> IndexedValueType.ValueType:
    kinds = IndexedValueType
    return kinds.INDEXED_VALUE_TYPE_INT if name.is_number else kinds.INDEXED_VALUE_TYPE_KEYWORD


def _said(error: RPCError) -> str:
    return error.message.rstrip(".") or error.status.name.lower().replace("_", " ")


def _remedy(namespace: str, lacking: Iterable[SearchAttribute], refusal: str) -> str:
    options = "".join(f" --name {name} --type {'Int' if name.is_number else 'Keyword'}" for name in lacking)
    why = f" ({refusal})" if refusal else " (they are there with another type)"
    return (
        f"The Temporal server lacks search attributes, and does not let this worker create them{why}: "
        "batches are mailed all the same, but are not found by them in the Web UI. To create them, as an "
        f"operator: temporal operator search-attribute create --namespace {namespace}{options}"
    )

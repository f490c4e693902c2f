"""Looking for batches as the server lists them: its search is a moment behind, so nobody looks only once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from temporalio.client import Client

from batchmail.batch.search_attributes import SearchAttribute
from batchmail.client import running
from tests.program.bench import Bench

_SECONDS = 60.0


async def are_in_use(bench: Bench) -> None:
    """Until the worker gives batches their search attributes: on a slow server the first go without."""
    async with asyncio.timeout(_SECONDS):
        for number in count():
            handle = await bench.start(1, f"{bench.batch}-first-{number}")
            await handle.result()
            described = (await handle.describe()).raw_description.workflow_execution_info
            if SearchAttribute.STATUS in described.search_attributes.indexed_fields:
                return


async def found(client: Client, query: str) -> list[str]:
    """The ids of the batches that the query finds."""
    return [one.id async for one in client.list_workflows(query)]


async def is_found(client: Client, batch: str, query: str) -> None:
    """Until the query finds this batch."""
    await _until(lambda: found(client, query), lambda ids: batch in ids)


async def is_listed_as_running(client: Client, batch: str) -> None:
    """Until the batches that run are said to be this one too."""
    await _until(lambda: running(client), lambda ids: batch in ids)


async def is_listed_no_more(client: Client, batch: str) -> None:
    """Until this batch is not among them."""
    await _until(lambda: running(client), lambda ids: batch not in ids)


async def _until(look: Callable[[], Awaitable[list[str]]], seen: Callable[[list[str]], bool]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not seen(await look()):  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.05)

"""Batches are found by search attributes where the server has or takes them, and mailed where it does not."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Progress
from batchmail.batch.search_attributes import SearchAttribute
from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.settings import Settings
from tests.program.bench import Bench, Handle
from tests.program.search import found, is_found
from tests.relays import Behaviour, Fault
from workflows.shown import EVERY

UPSERTED = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


@pytest.fixture
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the test's own, which has no search attributes yet."""
    state = tmp_path_factory.mktemp("temporal")
    with DevServer(state, print, cli=Settings().batch_temporal_cli, usual=any_free()) as running:
        yield running.address


async def kinds(handle: Handle) -> list[int]:
    """The kinds of its history's events."""
    return [event.event_type for event in (await handle.fetch_history()).events]


async def add(client: Client, **attributes: IndexedValueType.ValueType) -> None:
    """Create search attributes by hand."""
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)
    )


async def names(client: Client) -> set[str]:
    """The server's own search attributes."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return set(listed.custom_attributes)


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 none", match="reader-3@"),)))
async def test_the_first_batch_of_a_fresh_server_is_found_by_what_became_of_it(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(10)
    result = await handle.result()
    for query in (
        "BatchmailStatus = 'done'",
        "BatchmailNotSent > 0",
        "BatchmailTotal = 10 AND BatchmailSettled = 10",
        "BatchmailList = 'emails-10.csv' AND BatchmailNotSent = 1",
    ):
        await is_found(bench.client, handle.id, query)
    assert await found(bench.client, "BatchmailStatus = 'mailing'") == []
    events = await kinds(handle)
    assert FAILED not in events
    # mailing, finishing, done; and counts, where it takes long
    assert 3 <= events.count(UPSERTED) <= 3 + result.seconds / EVERY.total_seconds()


async def test_a_batch_that_waits_and_is_cancelled_says_so(bench: Bench) -> None:
    bench.relay.stop_accepting()
    await bench.worker()
    handle = await bench.start(10, retry_delays=(timedelta(hours=1),))
    await is_found(bench.client, handle.id, "BatchmailStatus = 'waiting'")
    await handle.cancel()
    bench.relay.accept()
    await handle.result()
    await is_found(bench.client, handle.id, "BatchmailStatus = 'cancelled'")
    assert await found(bench.client, "BatchmailStatus = 'waiting'") == []


async def test_several_workers_starting_at_once_create_them_together(bench: Bench) -> None:
    for _ in range(3):
        await bench.worker()
    await (await bench.start(10)).result()
    assert await names(bench.client) == set(SearchAttribute)


async def test_where_the_server_has_no_place_for_numbers_a_batch_is_found_by_state_and_list(
    bench: Bench,
) -> None:
    await add(bench.client, Elsewhere=IndexedValueType.INDEXED_VALUE_TYPE_INT)
    worker = await bench.worker()
    handle = await bench.start(10)
    bench.assert_everyone_once(await handle.result())
    assert await names(bench.client) == {"Elsewhere", SearchAttribute.STATUS, SearchAttribute.LIST}
    query = "BatchmailStatus = 'done' AND BatchmailList = 'emails-10.csv'"
    await is_found(bench.client, handle.id, query)
    assert "--name BatchmailTotal --type Int" in worker.log()
    assert "BatchmailStatus" not in worker.log()


async def test_an_attribute_of_another_type_is_let_alone(bench: Bench) -> None:
    await add(bench.client, BatchmailTotal=IndexedValueType.INDEXED_VALUE_TYPE_DATETIME)
    worker = await bench.worker()
    handle = await bench.start(10)
    bench.assert_everyone_once(await handle.result())
    await is_found(bench.client, handle.id, "BatchmailStatus = 'done'")
    assert FAILED not in await kinds(handle)
    assert "another type" in worker.log()


async def test_a_batch_that_is_answered_from_its_receipt_shows_what_became_of_it(bench: Bench) -> None:
    await bench.worker()
    await (await bench.start(10)).result()
    again = await bench.start(10)
    await again.result()
    progress = await again.query("progress", result_type=Progress)
    assert progress.settled == {Outcome.SENT: 10}
    upserted = [event for event in (await again.fetch_history()).events if event.event_type == UPSERTED]
    assert len(upserted) == 1


async def test_where_payloads_are_encrypted_the_lists_name_is_no_search_attribute(bench: Bench) -> None:
    await bench.worker(BATCH_ENCRYPTION_KEYS=f"key:{base64.b64encode(os.urandom(32)).decode()}")
    handle = await bench.start(10)
    await is_found(bench.client, handle.id, "BatchmailStatus = 'done'")
    assert await names(bench.client) == set(SearchAttribute) - {SearchAttribute.LIST}


async def test_a_batch_of_many_slices_is_not_shown_anew_at_each(bench: Bench) -> None:
    await bench.worker()
    handle = await bench.start(3_000, connections=5, slice_size=50)
    result = await handle.result()
    assert (await kinds(handle)).count(UPSERTED) <= 4 + result.seconds / EVERY.total_seconds()

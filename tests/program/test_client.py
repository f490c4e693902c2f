"""Starting a batch by its name from a program: a name is one list's and one message's."""

from __future__ import annotations

import asyncio

import pytest

from batchmail.batch.options import BatchRequest
from batchmail.client import Batch, start
from batchmail.errors import RefusedError
from tests.program.bench import Bench


async def begin(bench: Bench, request: BatchRequest) -> Batch:
    return await start(bench.client, bench.store, f"b-{bench.queue}", request, task_queue=bench.queue)


async def test_of_two_lists_given_one_name_at_once_one_begins_and_the_other_is_refused(bench: Bench) -> None:
    requests = [await bench.request(1), await bench.request(2)]
    found = await asyncio.gather(*(begin(bench, one) for one in requests), return_exceptions=True)
    (begun,) = [one for one in found if isinstance(one, Batch)]
    (refused,) = [one for one in found if isinstance(one, RefusedError)]
    assert begun.began
    assert str(refused) == (
        f"Batch {begun.id} runs, and is of another list or message: give this one another name."
    )


async def test_one_list_given_one_name_at_once_is_one_batch(bench: Bench) -> None:
    request = await bench.request(1)
    found = await asyncio.gather(*(begin(bench, request) for _ in range(3)))
    assert [one.began for one in found].count(True) == 1
    assert len({one.id for one in found}) == 1


async def test_a_name_of_an_ended_batch_is_not_given_to_another_list(bench: Bench) -> None:
    await bench.worker()
    request = await bench.request(1)
    result = await (await begin(bench, request)).result()
    again = await begin(bench, request)
    assert again.had_ended
    assert await again.result() == result
    with pytest.raises(RefusedError, match="has ended, and is of another list or message"):
        await begin(bench, await bench.request(2))


async def test_lists_given_by_location_are_told_apart_as_well(bench: Bench) -> None:
    await begin(bench, BatchRequest(list="one.csv", message_location="message.txt"))
    assert not (await begin(bench, BatchRequest(list="one.csv", message_location="message.txt"))).began
    with pytest.raises(RefusedError):
        await begin(bench, BatchRequest(list="two.csv", message_location="message.txt"))

"""Whole batches whose payloads are encrypted: nothing readable in the history, keys that change or lack."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.worker import Replayer

from batchmail.batch.result import Status
from batchmail.client import Batch, start
from batchmail.engine.connect import connect
from batchmail.errors import EncryptionError
from tests.program.bench import DEATHS_NOTICED, Bench
from tests.relays import Behaviour, Fault
from worker import WORKFLOW_RUNNER
from workflows.batch_email import BatchEmailWorkflow

OLD, NEW = (f"{name}:{base64.b64encode(os.urandom(32)).decode()}" for name in ("old", "new"))
KEYS = "BATCH_ENCRYPTION_KEYS"
ADMIN = "admin@example.org"
MARKERS = ".marker_recorded_event_attributes.details.payloads"
"""Names of patches, by which the workflow's code tells its versions apart; written by the core."""

HOLDS_THE_SECOND_HALF = Behaviour(faults=(Fault(stage="rcpt", do="hold", match="reader-60@"),))


async def connected(bench: Bench, monkeypatch: pytest.MonkeyPatch, keys: str) -> Client:
    """A client of the bench's server, with these keys."""
    monkeypatch.setenv(KEYS, keys)
    return await connect(address=bench.environment["TEMPORAL_ADDRESS"])


async def begun(bench: Bench, client: Client) -> Batch:
    """A batch of 100, as the starter starts it."""
    request = await bench.request(
        100, connections=2, slice_size=25, admins=(ADMIN,), heartbeat_timeout=DEATHS_NOTICED
    )
    return await start(client, bench.store, f"batch-{bench.folder.name}", request, task_queue=bench.queue)


class Kept(NamedTuple):
    """All that the server has of a batch, undecoded."""

    messages: tuple[Message, ...]

    def payloads(self) -> Iterator[tuple[str, Payload]]:
        """Every payload, and where it lies."""
        for message in self.messages:
            yield from payloads_in(message, "")

    def readable(self) -> set[str]:
        """Where there are payloads that are not encrypted."""
        return {place for place, payload in self.payloads() if "encryption-key-id" not in payload.metadata}

    def keys(self) -> set[bytes]:
        """By whose keys the others are."""
        return {payload.metadata.get("encryption-key-id", b"") for _, payload in self.payloads()} - {b""}

    def holds(self, text: str) -> bool:
        """Whether it can be read anywhere."""
        return any(text.encode() in message.SerializeToString() for message in self.messages)


def payloads_in(message: Message, place: str) -> Iterator[tuple[str, Payload]]:
    """Every payload in a message of Temporal's, however deep, and the names that lead there."""
    for field, value in message.ListFields():
        here = f"{place}.{field.name}"
        found = value.values() if isinstance(value, Mapping) else value if field.is_repeated else (value,)
        for one in found:
            if isinstance(one, Payload):
                yield here, one
            elif isinstance(one, Message):
                yield from payloads_in(one, here)


async def failed_for_want_of_a_key(batch: Batch, client: Client) -> None:
    """Until a slice of the batch has met a worker that cannot read it."""
    handle = client.get_workflow_handle(batch.id)
    async with asyncio.timeout(60):
        while True:
            pending = (await handle.describe()).raw_description.pending_activities
            if any(activity.last_failure.HasField("application_failure_info") for activity in pending):
                return
            await asyncio.sleep(0.1)


async def kept(client: Client, batch: Batch) -> Kept:
    """History and description of the batch."""
    handle = client.get_workflow_handle(batch.id)
    events = [event async for event in handle.fetch_history_events()]
    return Kept((*events, (await handle.describe()).raw_description))


@pytest.mark.behaviour(HOLDS_THE_SECOND_HALF)
async def test_a_batch_is_encrypted_from_beginning_to_end_while_its_key_is_changed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await bench.worker(**{KEYS: OLD})
    batch = await begun(bench, await connected(bench, monkeypatch, OLD))
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-60@" in event.address)
    await bench.worker(**{KEYS: f"{NEW},{OLD}"})
    before.signal(signal.SIGTERM)
    bench.relay.release()
    assert await before.ended() == 0
    client = await connected(bench, monkeypatch, f"{NEW},{OLD}")
    result = await Batch(client, batch.id).result()
    assert result.status is Status.COMPLETED
    bench.assert_everyone_once(result)
    found = await kept(client, batch)
    assert found.keys() == {b"old", b"new"}
    assert {place for place in found.readable() if "search_attributes" not in place} <= {MARKERS}
    for secret in (ADMIN, "emails-100", "news@sender.example", result.report):
        assert not found.holds(secret)
    replayer = Replayer(
        workflows=[BatchEmailWorkflow], workflow_runner=WORKFLOW_RUNNER, data_converter=client.data_converter
    )
    await replayer.replay_workflow(await client.get_workflow_handle(batch.id).fetch_history())


@pytest.mark.behaviour(HOLDS_THE_SECOND_HALF)
async def test_a_batch_begun_without_keys_ends_with_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await bench.worker()
    batch = await begun(bench, bench.client)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-60@" in event.address)
    await bench.worker(**{KEYS: NEW})
    before.signal(signal.SIGTERM)
    bench.relay.release()
    client = await connected(bench, monkeypatch, NEW)
    result = await Batch(client, batch.id).result()
    bench.assert_everyone_once(result)
    found = await kept(client, batch)
    assert found.keys() == {b"new"}
    assert ".workflow_execution_started_event_attributes.input.payloads" in found.readable()


@pytest.mark.behaviour(HOLDS_THE_SECOND_HALF)
async def test_a_worker_with_other_keys_says_so_and_costs_nobody_a_mail(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes over what a killed one had in hand, ledgers and all, and can read none of it."""
    first = await bench.worker(**{KEYS: NEW})
    client = await connected(bench, monkeypatch, NEW)
    batch = await begun(bench, client)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-60@" in event.address)
    stranger = await bench.worker(**{KEYS: OLD})
    first.signal(signal.SIGKILL)
    await failed_for_want_of_a_key(batch, client)
    async for _ in batch.watch():
        break  # what the stranger says is encrypted by its own key: that ends no one's watching
    assert "the key 'new', which is not here" in stranger.log()
    assert NEW.partition(":")[2] not in stranger.log()
    bench.relay.release()
    await bench.worker(**{KEYS: NEW})
    stranger.signal(signal.SIGTERM)
    result = await batch.result()
    assert result.sent == 100
    assert result.in_doubt_resent <= 2
    bench.assert_the_promise(result)


async def test_who_asks_without_the_key_is_told_which_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.worker(**{KEYS: NEW})
    batch = await begun(bench, await connected(bench, monkeypatch, NEW))
    await batch.result()
    for keys in ("", OLD):
        stranger = await connected(bench, monkeypatch, keys)
        with pytest.raises(EncryptionError, match="the key 'new', which is not here"):
            await Batch(stranger, batch.id).result()
        with pytest.raises(EncryptionError, match="the key 'new', which is not here"):
            await begun(bench, stranger)

"""What a worker shows to Prometheus: the truth about a batch, and nobody's name."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from batchmail.engine.metrics import BUCKETS, HEARTBEAT_LATENCY
from batchmail.settings import Listen
from tests.program.addresses import free
from tests.program.bench import CHECKOUT, DEATHS_NOTICED, Bench
from tests.program.scraped import Scraped
from tests.relays import Behaviour, Fault

DOCUMENTED = {
    name: (kind, re.findall(r"`(\w+)`", labels))
    for name, kind, labels in re.findall(
        r"^\| `(batchmail_\w+)` \| (\w+) \|([^|]*)\|",
        (CHECKOUT / "docs" / "operations.md").read_text().partition("<!-- metrics")[2],
        re.MULTILINE,
    )
}
"""Type and further labels of each metric, as docs/operations.md says."""


async def seen(address: Listen, reached: Callable[[Scraped], bool]) -> Scraped:
    """What is shown, once it is as it should be."""
    end = time.monotonic() + 60
    while True:
        found = await asyncio.to_thread(Scraped, address)
        if reached(found):
            return found
        assert time.monotonic() < end, "\n".join(
            line for line in found.text.splitlines() if line.startswith("batchmail_")
        )
        await asyncio.sleep(0.05)


@pytest.mark.behaviour(
    Behaviour(
        faults=(
            Fault(stage="rcpt", reply="550 5.1.1 <reader-1@example.com>: no such user", match="reader-1@"),
            Fault(stage="rcpt", reply="452 4.2.2 <reader-2@example.com> is full", match="reader-2@"),
            Fault(stage="recorded", do="drop", match="reader-3@", times=1),
        )
    )
)
async def test_what_became_of_the_recipients_is_counted_once(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    handle = await bench.start(
        40,
        connections=3,
        slice_size=20,
        retry_delays=(timedelta(seconds=0.2),),
        admins=("admin@example.com",),
    )
    result = await handle.result()
    shown = await asyncio.to_thread(Scraped, address)
    recipients = "batchmail_recipients_total"
    assert (result.sent, result.rejected, result.expired) == (38, 1, 1)
    assert shown(recipients, outcome="sent") == 38, "the admin's mail is not counted"
    assert shown(recipients, outcome="rejected") == 1
    assert shown(recipients, outcome="deferred") == 1
    assert shown(recipients, outcome="expired") == 1
    assert shown(recipients, outcome="unknown") == 0
    assert shown("batchmail_in_doubt_total") == 1
    assert shown("batchmail_resent_total") == result.in_doubt_resent == 1
    beats = shown("batchmail_heartbeats_total", answer="yes")
    assert beats >= 4
    assert shown("batchmail_heartbeat_latency_seconds_count") == shown("batchmail_heartbeats_total")
    assert 0 < shown("batchmail_heartbeat_latency_seconds_sum") < 5 * beats
    bounds = shown.values(f"{HEARTBEAT_LATENCY}_bucket", "le")
    assert {float(bound) for bound in bounds} == {*BUCKETS[HEARTBEAT_LATENCY], float("inf")}
    assert shown("batchmail_slices_running") == 0
    assert shown("batchmail_connections_open") == 0
    assert "@" not in shown.text
    assert "reader" not in shown.text
    assert handle.id not in shown.text, "as many series as batches would be too many"


async def test_everything_is_shown_from_the_start_the_sdk_s_own_metrics_too(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    shown = await seen(address, lambda found: found("temporal_num_pollers") > 0)
    assert "batchmail_recipients_total" in shown.names
    assert shown("batchmail_recipients_total") == 0
    assert shown.values("batchmail_recipients_total", "task_queue") == {bench.queue}
    assert shown.values("batchmail_slices_waiting", "waits_for") == {"relay", "store"}


async def test_the_docs_name_what_is_shown(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    await (await bench.start(1, connections=1)).result()
    shown = await asyncio.to_thread(Scraped, address)
    ours = {name: kind for name, kind in shown.types.items() if name.startswith("batchmail_")}
    assert {name: kind for name, (kind, _) in DOCUMENTED.items()} == ours
    for name, (kind, labels) in DOCUMENTED.items():
        sample = f"{name}_count" if kind == "histogram" else name
        assert shown.labels(sample) == {"namespace", "task_queue", *labels}


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="mail", reply="530 5.7.0 login first"),)))
async def test_a_relay_fault_is_counted_by_its_stage_and_the_slice_waits(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    handle = await bench.start(4, connections=1, slice_size=4)
    await seen(address, lambda found: found("batchmail_slices_waiting", waits_for="relay") == 1)
    shown = await seen(address, lambda found: found("batchmail_relay_faults_total", stage="mail") > 0)
    assert shown("batchmail_relay_faults_total") == shown("batchmail_relay_faults_total", stage="mail")
    assert shown("batchmail_slices_running") == 1
    bench.relay.behave(Behaviour())
    await handle.result()
    shown = await asyncio.to_thread(Scraped, address)
    refusals = sum(event.event == "refused" for event in bench.relay.events())
    assert shown("batchmail_relay_faults_total", stage="mail") == refusals
    assert shown("batchmail_slices_waiting") == 0


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="dot", do="hold", times=2),)))
async def test_connections_and_slices_are_shown_while_they_are_open(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    handle = await bench.start(2, connections=2, slice_size=2)
    shown = await seen(address, lambda found: found("batchmail_connections_open") == 2)
    assert shown("batchmail_slices_running") == 1
    bench.relay.release()
    await handle.result()


async def test_a_killed_worker_s_successor_counts_only_what_it_settles(bench: Bench) -> None:
    victim = await bench.worker(arm="body_sent:50=kill")
    handle = await bench.start(200, connections=5, slice_size=200, heartbeat_timeout=DEATHS_NOTICED)
    assert await victim.ended() == -signal.SIGKILL
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    result = await handle.result()
    shown = await asyncio.to_thread(Scraped, address)
    assert result.sent == 200
    assert 150 <= shown("batchmail_recipients_total", outcome="sent") < 200
    assert 1 <= shown("batchmail_in_doubt_total") <= 5


async def test_two_workers_at_one_address_are_refused_in_one_sentence(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))
    with pytest.raises(RuntimeError, match=r"BATCH_METRICS_ADDRESS: nothing can listen at .*Address already"):
        await bench.worker(BATCH_METRICS_ADDRESS=str(address))

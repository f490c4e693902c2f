"""SIGTERM at hard moments: the worker leaves within its grace, and nobody is lost or in doubt by it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.program.bench import Bench, waiting

GRACE = "2s"
LEAVES_WITHIN = 10.0
"""Seconds: the grace, and time for a busy machine."""

RECIPIENTS = 200
ONE_SLICE: dict[str, Any] = {"connections": 5, "slice_size": RECIPIENTS}


@pytest.mark.parametrize("moment", ["begun", "heartbeat_answered", "marked"])
async def test_a_stop_that_meets_a_slice_at_its_very_beginning_hands_it_back(
    bench: Bench, moment: str
) -> None:
    alone = await bench.worker(arm=f"{moment}:1=stop", BATCH_GRACE=GRACE)
    handle = await bench.start(RECIPIENTS, **ONE_SLICE)
    await alone.frozen()
    alone.signal(signal.SIGTERM)
    alone.signal(signal.SIGCONT)
    assert await alone.ended(LEAVES_WITHIN) == 0
    await bench.worker()
    bench.assert_everyone_once(await handle.result())


@pytest.mark.parametrize("folder", ["opened", "outcomes"])
async def test_a_stop_while_the_store_is_out_of_reach_is_heeded(bench: Bench, folder: str) -> None:
    batch = f"batch-{bench.folder.name}"
    obstacle = bench.store.root / "batches" / batch / folder
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder must be")
    first = await bench.worker(BATCH_GRACE=GRACE)
    handle = await bench.start(RECIPIENTS, batch, **ONE_SLICE)
    progress = await waiting(handle)
    assert str(bench.store) in progress.waiting[0].what
    first.signal(signal.SIGTERM)
    assert await first.ended(LEAVES_WITHIN) == 0
    obstacle.unlink()
    await bench.worker()
    bench.assert_everyone_once(await handle.result())

"""The whole command, as a person at a shell waits for it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from batchmail.batch.result import BatchResult
from batchmail.engine.ports import LOOPBACK
from benchmarks.mailing import Mailing
from benchmarks.ours import LONGEST_BATCH
from benchmarks.processes import CHECKOUT, BenchmarkError, finished


def command(folder: Path, relay: int, mailing: Mailing, connections: int) -> float:
    """Seconds of `starter.py --dev` from nothing: an empty state folder, no server, nothing in memory.

    Raises BenchmarkError unless everybody was mailed exactly once.
    """
    folder.mkdir()
    arguments = ["--dev", "--yes", "--json", "--connections", str(connections)]
    arguments += ["--list", str(mailing.list), "--message", str(mailing.message)]
    start = time.perf_counter()
    said = finished(
        [sys.executable, str(CHECKOUT / "starter.py"), *arguments],
        folder,
        name="starter.py",
        seconds=LONGEST_BATCH,
        settings={"BATCH_STATE": str(folder / "state"), "SMTP_HOST": LOOPBACK, "SMTP_PORT": str(relay)},
    )
    seconds = time.perf_counter() - start
    result = BatchResult.model_validate_json(said)
    if (result.sent, result.in_doubt_resent) != (mailing.recipients, 0):
        raise BenchmarkError(f"a batch of {mailing.recipients:,} recipients ended with {result}")
    return seconds

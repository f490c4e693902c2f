"""A batch that workers from before a change of the workflow began goes on under those from after it.

What an earlier worker did is really done here: by one that takes the paths from before the changes.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from temporalio.api.history.v1 import HistoryEvent

from batchmail.batch.progress import Progress
from tests.program.bench import DEATHS_NOTICED, Bench, Handle
from tests.program.test_batch_pauses import rests, until
from tests.pure.test_replay import marker, replay
from tests.relays import Behaviour, Fault

EARLIER = Path(__file__).with_name("earlier_worker.py")
RECIPIENTS = 300

LATER = Fault(stage="rcpt", reply="450 4.2.0 later", match="reader-[0-9]*7@")
NEVER = Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-[0-9]*[369]@")
"""More than a batch goes on with unasked, now."""
HELD = Fault(stage="rcpt", do="hold", match="reader-290@")


@pytest.mark.parametrize(
    ("unknown", "known"),
    [("all", set()), ("spread,brake,troubles,hand-over,order,answered,goes-on", {"own-alarm"})],
    ids=["the first", "before pauses"],
)
@pytest.mark.behaviour(Behaviour(faults=(LATER, NEVER, HELD)))
async def test_what_an_earlier_worker_began_the_present_one_ends(
    bench: Bench, unknown: str, known: set[str]
) -> None:
    earlier = await bench.worker(under=(sys.executable, str(EARLIER), unknown))
    handle = await bench.start(
        RECIPIENTS,
        connections=5,
        slice_size=20,
        retry_delays=[2] * 60,
        heartbeat_timeout=DEATHS_NOTICED,
        admins=("admin@example.org",),
    )
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-290@" in event.address)
    await until(handle, lambda progress: progress.deferred > 0)
    await handle.signal("pause")
    assert (await handle.query("progress", result_type=Progress)).paused is None, "it knows of no pause"
    earlier.signal(signal.SIGKILL)
    await earlier.ended()
    assert {marker(event) for event in await events(handle)} - {""} == known
    await bench.worker()
    await handle.signal("pause")
    await until(handle, lambda progress: progress.paused is not None)
    bench.relay.behave(Behaviour(faults=(NEVER,)))
    bench.relay.release()
    await until(handle, rests)
    await handle.signal("resume")
    result = await handle.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert (result.sent, result.rejected) == (RECIPIENTS * 7 // 10, RECIPIENTS * 3 // 10)
    assert bench.accepted()["admin@example.org"] == 1
    assert not any(event.HasField("workflow_task_failed_event_attributes") for event in await events(handle))
    await replay(await handle.fetch_history())


async def events(handle: Handle) -> list[HistoryEvent]:
    """The batch's history."""
    return [event async for event in handle.fetch_history_events()]

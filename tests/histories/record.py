"""Record histories of whole batches, for the replay test. Run by hand: `python -m tests.histories.record`.

Each run fills a new folder, v1, v2, …: older ones stay, since batches that older versions began must go on
under newer ones. Record when the workflow does something new; a replay that fails is no reason to record.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowFailureError, WorkflowHistory

from batchmail.engine.connect import connect
from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.settings import Settings
from tests.program.bench import CHECKOUT, Bench, Handle
from tests.program.bench import waiting as waits
from tests.program.test_batch_pauses import until
from tests.program.test_batch_troubles import (
    FULL,
    happened,
    is_timer_fired,
    one_of_two_knows_of_the_last_wait,
)
from tests.relays import Behaviour, Fault, RelayProcess

HERE = Path(__file__).parent

Shape = Callable[[Bench], Awaitable[Handle]]


async def straight(bench: Bench) -> Handle:
    """Ten recipients and an admin."""
    await bench.worker()
    return await bench.start(10, "straight", admins=("admin@example.org",))


async def deferred_and_handed_back(bench: Bench) -> Handle:
    """3,000 recipients: some are deferred, some rejected, and a worker that is stopped hands back."""
    later = Fault(stage="rcpt", reply="450 4.2.0 later", match="reader-[0-9]*7@", times=400)
    never = Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-[0-9]*3@")
    bench.relay.behave(Behaviour(faults=(later, never)))
    first = await bench.worker()
    handle = await bench.start(
        3_000,
        "deferred-and-handed-back",
        connections=5,
        slice_size=500,
        retry_delays=(timedelta(seconds=1), timedelta(seconds=2)),
    )
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=700)
    first.signal(signal.SIGTERM)
    await first.ended()
    await bench.worker()
    return handle


async def cancelled(bench: Bench) -> Handle:
    """3,000 recipients, cancelled on the way."""
    await bench.worker()
    handle = await bench.start(
        3_000, "cancelled", connections=5, slice_size=500, admins=("admin@example.org",)
    )
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=700)
    await handle.cancel()
    return handle


async def retried(bench: Bench) -> Handle:
    """A worker is killed under its slices: they go on in a second attempt."""
    victim = await bench.worker(arm="body_sent:60=kill")
    handle = await bench.start(200, "retried", connections=5, slice_size=100)
    await victim.ended()
    await bench.worker()
    return handle


async def waiting(bench: Bench) -> Handle:
    """The relay is out of reach at first: slices say that they wait."""
    bench.relay.stop_accepting()
    await bench.worker()
    handle = await bench.start(10, "waiting")
    await waits(handle)
    bench.relay.accept()
    return handle


async def paused(bench: Bench) -> Handle:
    """20 recipients, deferred; paused while they wait for their next try, and resumed."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", reply="450 4.2.0 later", times=20),)))
    await bench.worker()
    handle = await bench.start(20, "paused", connections=5, retry_delays=(timedelta(seconds=2),))
    await until(handle, lambda progress: progress.deferred == 20)
    await handle.signal("pause")
    await until(handle, lambda progress: progress.paused is not None)
    await handle.signal("resume")
    return handle


async def asked(bench: Bench) -> Handle:
    """500 recipients of whom half are rejected: the batch pauses and asks, and an operator resumes."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 none", match="[02468]@"),)))
    await bench.worker()
    handle = await bench.start(500, "asked", connections=5, slice_size=500, admins=("admin@example.org",))
    await bench.relay.wait_for(lambda event: event.event == "recorded" and "admin@" in event.address)
    await handle.signal("resume")
    return handle


async def told(bench: Bench) -> Handle:
    """The relay refuses the sender for so long that the admin is told."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="mail", reply="550 5.1.8 who are you"),)))
    await bench.worker()
    handle = await bench.start(
        20, "told", connections=2, tell_after=timedelta(seconds=1), admins=("admin@example.org",)
    )
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event.activity_task_scheduled_event_attributes.activity_type.name == "notify_admin":
            break
    bench.relay.behave(Behaviour())
    return handle


async def one_knows(bench: Bench) -> Handle:
    """One of two admins is put off: with the mail of a wait while there is another wait, and with the end."""
    await bench.worker()
    handle = await one_of_two_knows_of_the_last_wait(
        bench, "one-knows", retry_delays=(timedelta(seconds=20),)
    )
    await happened(handle, is_timer_fired)
    bench.relay.behave(FULL)
    return handle


async def by_location(bench: Bench) -> Handle:
    """List and message given by their locations."""
    await bench.request(10)
    return await _by_location(bench, "by-location", "emails-10.csv")


async def refused(bench: Bench) -> Handle:
    """A list that is not there: the batch fails."""
    return await _by_location(bench, "refused", "none.csv")


async def _by_location(bench: Bench, batch: str, emails: str) -> Handle:
    await bench.worker()
    return await bench.client.start_workflow(
        "BatchEmailWorkflow",
        {"list": f"{bench.folder}/{emails}", "message_location": f"{bench.folder}/message.txt"},
        id=batch,
        task_queue=bench.queue,
    )


SHAPES: tuple[Shape, ...] = (
    straight,
    deferred_and_handed_back,
    cancelled,
    retried,
    waiting,
    paused,
    asked,
    told,
    one_knows,
    by_location,
    refused,
)


def scrubbed(history: WorkflowHistory, folder: Path) -> str:
    """The history as JSON, without what is this machine's own: its name, its paths, its processes.

    Payloads stay as they are, paths in the folder of the run included.
    """
    text = json.dumps(_without_traces(json.loads(history.to_json())), indent=1, sort_keys=True)
    text = re.sub(rf'"\d*@?{re.escape(socket.gethostname())}(-\w+)?"', '"machine"', text)
    text = text.replace(str(folder), "/srv")
    if str(CHECKOUT) in text or str(Path.home()) in text:
        raise ValueError(f"the history of {history.workflow_id} names paths of this machine")
    return text + "\n"


def _without_traces(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _without_traces(value) for name, value in part.items() if name != "stackTrace"}
    return [_without_traces(one) for one in part] if isinstance(part, list) else part


async def record(target: Path) -> None:
    """A history of every shape, as a file in the folder `target`."""
    with tempfile.TemporaryDirectory(prefix="batchmail-") as name:
        folder = Path(name)
        with DevServer(
            folder / "temporal", print, cli=Settings().batch_temporal_cli, usual=any_free()
        ) as server:
            client = await connect(address=server.address)
            for shape in SHAPES:
                place = folder / shape.__name__
                place.mkdir()
                relay = RelayProcess(place / "relay", Behaviour())
                bench = Bench(client, server.address, place, relay, Behaviour(), cached_workflows="100")
                try:
                    handle = await shape(bench)
                    try:
                        await handle.result()
                    except WorkflowFailureError as error:
                        print(f"{shape.__name__}: {error.cause}")
                    history = await handle.fetch_history()
                finally:
                    bench.stop()
                    relay.stop()
                file = target / f"{shape.__name__}.json"
                file.write_text(scrubbed(history, folder))
                print(
                    f"{file.relative_to(HERE)}: {len(history.events)} events, {file.stat().st_size:,} bytes"
                )


if __name__ == "__main__":
    versions = [int(one.name[1:]) for one in HERE.glob("v*") if one.name[1:].isdigit()]
    new = HERE / f"v{max(versions, default=0) + 1}"
    new.mkdir()
    asyncio.run(record(new))

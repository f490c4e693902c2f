"""The connections of a slice, at a real relay, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio

from activities.lanes import Lanes
from activities.pool import Pool
from tests.pure.attempts import attempt_on
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import ON_BOTH_LOOPS, StartRelay
from tests.relays.talk import relay_of

pytestmark = ON_BOTH_LOOPS

CONNECTIONS = 4


async def test_what_comes_to_be_open_after_its_slice_has_left_is_closed(start_relay: StartRelay) -> None:
    """Left open it would be nobody's, and a relay that admits four would admit nobody any more."""
    process = start_relay(Behaviour(faults=(Fault(stage="ehlo", do="hold"),)))
    lanes = Lanes(
        attempt_on(b"P" * CONNECTIONS),
        relay=relay_of(process),
        pool=Pool(),
        batch="batch",
        most=CONNECTIONS,
        opens=True,
        changed=lambda: None,
    )
    opening = asyncio.create_task(lanes.keep_open())
    await process.wait_for(lambda event: event.event == "greeting", times=CONNECTIONS)
    lanes.leave()
    process.release()
    await process.wait_for(lambda event: event.event == "closed", times=CONNECTIONS)
    assert not lanes.held
    opening.cancel()

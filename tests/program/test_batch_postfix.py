"""What Postfix says at RCPT of sender, client and greylisting, to a real worker: nobody is refused for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.program.bench import Bench, waiting
from tests.relays import Behaviour, Fault, postfix

RECIPIENTS = 60
RETRY_DELAYS = (timedelta(seconds=0.2),) * 5


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (postfix.SENDER_REFUSED, "554 5.7.1 while sending RCPT TO"),
        (postfix.SENDER_NOT_OWNED, "553 5.7.1 while sending RCPT TO"),
        (postfix.SENDERS_DOMAIN_UNKNOWN, "450 4.1.8 while sending RCPT TO"),
        (postfix.RELAYING_DENIED, "554 5.7.1 while sending RCPT TO"),
        (postfix.CLIENT_REFUSED, "554 5.7.1 while sending RCPT TO"),
    ],
    ids=[
        "sender refused",
        "sender not owned",
        "sender's domain unknown",
        "relaying denied",
        "client refused",
    ],
)
async def test_what_postfix_refuses_to_everybody_alike_is_waited_for(
    bench: Bench, fault: Fault, said: str
) -> None:
    bench.relay.behave(Behaviour(faults=(fault,)))
    handle = await bench.start(RECIPIENTS, connections=3, slice_size=RECIPIENTS)
    await bench.worker()
    progress = await waiting(handle)
    assert said in progress.waiting[0].what
    assert not progress.settled_count
    bench.relay.behave(Behaviour())
    bench.assert_everyone_once(await handle.result())


async def test_who_is_greylisted_by_postfix_is_tried_again(bench: Bench) -> None:
    """Each once, as postgrey does it to whom it does not know."""
    greylisted = Fault(stage="rcpt", reply=postfix.GREYLISTED, times=RECIPIENTS)
    bench.relay.behave(Behaviour(faults=(greylisted,)))
    handle = await bench.start(RECIPIENTS, connections=3, slice_size=RECIPIENTS, retry_delays=RETRY_DELAYS)
    await bench.worker()
    bench.assert_everyone_once(await handle.result())
    refused = [event.address for event in bench.relay.events() if event.event == "refused"]
    assert len(set(refused)) == len(refused) == RECIPIENTS

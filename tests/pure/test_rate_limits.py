"""Attempt, evidence and pace together, in virtual time: a relay that limits the rate defers nobody."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Literal, NamedTuple

import pytest

from batchmail.batch.attempt import Intent
from batchmail.batch.outcomes import Cause, Follows, Outcome, Stage, Verdict
from batchmail.relay.pace import Pace
from tests.pure.attempts import LEASE, SENT, beat, body_out, mailing
from tests.pure.test_pace import bucket, window

Limit = Callable[[float], bool]
Step = Literal["rcpt", "dot"]
CONNECTIONS = 20


class Mailed(NamedTuple):
    """What became of the recipients, in how many seconds, after how many refusals."""

    outcomes: dict[Outcome, int]
    seconds: float
    refusals: int


def mail(recipients: int, admits: Limit, refuses_at: Step, *, seed: int, longest: float = 3_000.0) -> Mailed:
    """Mail them all, as the lanes do it, on their last try; RCPT and body take 5 to 20 ms each."""
    chance = random.Random(seed)
    attempt, pace = mailing(b"P" * recipients, last_try=True), Pace()
    refused = Verdict(Follows.DEFERRED, Cause(Stage(refuses_at), 450, "4.7.1"))
    idle = list(range(CONNECTIONS))
    under_way: list[tuple[float, int, Step, Intent]] = []
    now, refusals = 0.0, 0
    while (under_way or attempt.has_pending) and now < longest:
        beat(attempt, now=now)
        while under_way and under_way[0][0] <= now:
            _, who, step, intent = heapq.heappop(under_way)
            if step != refuses_at or admits(now):
                if step == "rcpt":
                    heapq.heappush(under_way, (now + chance.uniform(0.005, 0.02), who, "dot", intent))
                    continue
                verdict = SENT
            else:
                verdict = refused
            follows = attempt.concluded(intent, verdict)
            if follows is Follows.THROTTLED:
                refusals += 1
                if not pace.overlooks():
                    pace.refused(now, who, for_the_rate=True)
            else:
                pace.answered(now, who, taken=follows is Follows.SENT)
            idle.append(who)
        while idle and attempt.has_pending and (pace.is_free or pace.begin(now, idle[-1])):
            intent = body_out(attempt, now)
            heapq.heappush(under_way, (now + chance.uniform(0.005, 0.02), idle.pop(), "rcpt", intent))
        moments = [now + LEASE / 2, *(at for at, *_ in under_way[:1])]
        if idle and attempt.has_pending and (at := pace.next_at(now)) is not None:
            moments.append(max(at, now + 0.005))
        now = min(moments)
    return Mailed(attempt.ledger.counts(), now, refusals)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
@pytest.mark.parametrize(
    ("recipients", "limit", "seconds"),
    [
        pytest.param(2_000, lambda: window(600, 60.0), 200, id="600-a-minute"),
        pytest.param(200, lambda: window(30, 60.0), 400, id="30-a-minute"),
        pytest.param(1_000, lambda: bucket(40, 40), 24, id="40-a-second"),
        pytest.param(300, lambda: bucket(5, 50), 50, id="5-a-second-50-at-once"),
        pytest.param(300, lambda: bucket(1, 1), 300, id="1-a-second"),
        pytest.param(200, lambda: bucket(0.5, 1), 400, id="1-in-two-seconds"),
    ],
)
def test_nobody_is_deferred_or_expires_at_a_limit_that_is_nearly_used_up(
    recipients: int, limit: Callable[[], Limit], seconds: float, stage: Step, seed: int
) -> None:
    """`seconds`: of a program that would know the limit."""
    mailed = mail(recipients, limit(), stage, seed=seed)
    assert mailed.outcomes == {Outcome.SENT: recipients}
    assert mailed.seconds <= 1.25 * seconds + 2


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_a_quota_that_is_used_up_for_a_while_defers_nobody(stage: Step) -> None:
    """However the mails that were on their way are taken: the others are waited for."""
    mailed = mail(1_000, lambda now: not 0.3 <= now < 15.0, stage, seed=1)
    assert mailed.outcomes == {Outcome.SENT: 1_000}


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_a_relay_that_refuses_now_and_then_is_not_mailed_ever_more_slowly(stage: Step) -> None:
    """One mail in 200, whenever it comes: without such refusals it takes 12 seconds."""
    chance = random.Random(1)
    mailed = mail(10_000, lambda _: chance.random() > 0.005, stage, seed=1)
    assert mailed.outcomes == {Outcome.SENT: 10_000}
    assert mailed.seconds <= 100
    assert mailed.refusals <= 100

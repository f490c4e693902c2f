"""A long batch continues as new: when it is time, what the next run is given, and how that takes it up.

A history has at most 51,200 events. The server suggests to continue at 4,096: then every slice hands back, so
that nothing is in flight whose ledger could be lost; whoever waits for the batch is led on to the new run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from temporalio import workflow

from batchmail.batch.carried import MOST_CARRIED, Begun, Carried, Told, pack
from batchmail.batch.chains import Chain
from workflows.fan_out import Slices
from workflows.hold import Hold
from workflows.request import Request
from workflows.telling import QUESTION, Telling

HAND_OVER = "hand-over"
"""Batches whose history had grown long before there were hand-overs go on in one run."""

ANSWERED = "answered"
"""Runs that took up a question which had been answered already asked it all the same."""


class HandOver:
    """Continues one batch as new."""

    def __init__(self) -> None:
        self._is_possible = True

    @property
    def is_due(self) -> bool:
        """Whether the history has grown long enough."""
        is_long = workflow.info().is_continue_as_new_suggested()
        return is_long and self._is_possible and workflow.patched(HAND_OVER)

    def to_a_new_run(self, request: Request, carried: Carried) -> None:
        """Continue as new; returns only where the new run's input would be larger than Temporal takes."""
        packed = pack(carried)
        if len(packed) <= MOST_CARRIED:
            workflow.continue_as_new(request.model_copy(update={"carried": packed}))
        workflow.logger.warning("the batch is too large to continue in a new run: it goes on in this one")
        self._is_possible = False


def carried_by(
    begun: Begun,
    mailing_since: datetime,
    cancelled: bool,
    chains: Sequence[Chain],
    slices: Slices,
    hold: Hold,
    telling: Telling,
) -> Carried:
    """All that is known of a batch of which nothing is in flight; `chains` are its slices that are left."""
    return Carried(
        begun=begun,
        mailing_since=mailing_since,
        cancelled=cancelled,
        chains=tuple(chains),
        files=tuple(slices.files),
        settled=dict(slices.settled),
        resent=slices.resent,
        waiting=dict(slices.waiting),
        paused=hold.paused,
        accepted=hold.accepted,
        told=telling.told,
    )


def take_up(carried: Carried, slices: Slices) -> tuple[Chain, ...]:
    """Make `slices` what they were in the run before this one; returns those that are to be run."""
    slices.files.extend(carried.files)
    slices.settled.update(carried.settled)
    slices.resent = carried.resent
    slices.waiting.update(carried.waiting)
    return carried.chains


def still_to_tell(carried: Carried, hold: Hold) -> Told:
    """What the admins do not know yet, but for a question that was answered before this run took it up."""
    told = carried.told
    others = tuple(one for one in told.notices if not one.notice.name.startswith(QUESTION))
    if hold.asks or others == told.notices or not workflow.patched(ANSWERED):
        return told
    return told.model_copy(update={"notices": others})

"""What a batch's run hands over to the next: a long batch continues as new before its history grows too long.

All of it goes into one string, compressed, since Temporal takes no more than 2 MB. A million recipients in a
thousand slices, every row of them at random sent, pending or deferred, with twenty attempts a slice and
twelve thousand outcome files, come to half of that; a batch whose state would not fit goes on in its run.
"""

from __future__ import annotations

import base64
import zlib
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from batchmail.batch.chains import Chain
from batchmail.batch.options import ListFacts
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Paused, Waiting
from batchmail.batch.tasks import Notice, Opened

MOST_CARRIED = 1_500_000
"""Octets of the next run's input; what else it holds, and encryption, find room beside them."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Begun(_Model):
    """What a batch is, from its first run on."""

    snapshot: str
    facts: ListFacts | None
    """Of this batch's very list; None: those of the snapshot's first list."""
    opened: Opened
    started: datetime
    """When its first run started."""


class Untold(_Model):
    """A notice that has not left yet."""

    notice: Notice
    what: str
    chains: tuple[Chain, ...]
    known: bool = False
    """Some admin has it."""


class Told(_Model):
    """What the admins know of the batch, and what is still to be told."""

    notices: tuple[Untold, ...] = ()
    troubles: tuple[str, ...] = ()
    """What is still waited for, and they know."""
    last: datetime | None = None
    """When they were last told of such a trouble."""


class Carried(_Model):
    """A batch between two runs: none of its slices is in flight."""

    v: Literal[1] = 1
    begun: Begun
    mailing_since: datetime
    cancelled: bool
    chains: tuple[Chain, ...]
    """The slices that have not ended."""
    files: tuple[str, ...]
    """Names of the outcome files of those parts that have."""
    settled: dict[Outcome, int]
    resent: int
    waiting: dict[str, Waiting] = {}
    """What slices waited for when they handed back."""
    paused: Paused | None = None
    accepted: bool = False
    """The share of rejected was accepted by who resumed the batch."""
    told: Told = Told()


def pack(carried: Carried) -> str:
    """It as one string."""
    return base64.b64encode(zlib.compress(carried.model_dump_json().encode(), 9)).decode()


def unpack(packed: str) -> Carried:
    """What was packed. Raises ValueError for what another version of the program has packed.

    In a workflow that fails the task, which is tried again: until a worker of that version takes it.
    """
    return Carried.model_validate_json(zlib.decompress(base64.b64decode(packed)))

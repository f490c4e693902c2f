"""Draw a schedule of faults from a seed: the same seed, server and size give the same schedule.

A fault strikes once the relay has accepted so many recipients, and is mended some seconds later. So it meets
the batch on its way, however quick the machine is; two runs of one schedule differ in the moments only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from random import Random
from typing import NamedTuple

from batchmail.batch.options import InDoubt
from tests.relays.behaviour import Behaviour, Fault, FaultStage

ADMIN = "admin@sender.example"
HEARTBEAT_TIMEOUT = 3.0
"""Seconds: short, so that many attempts fit into a minute; also the length of a lease."""


class Server(StrEnum):
    """On which Temporal server a batch runs."""

    POSTGRES = "postgres"
    EMBEDDED = "embedded"


class Deed(StrEnum):
    """What a strike does."""

    KILL_WORKER = "kill a worker"
    KILL_WORKERS = "kill all workers"
    STOP_WORKER = "stop a worker"
    FREEZE_WORKER = "freeze a worker"
    KILL_SERVER = "kill the server"
    KILL_DATABASE = "kill the database"
    KILL_BOTH = "kill server and database"
    KILL_RELAY = "kill the relay"
    CUT_SERVER = "cut a worker from the server"
    HALF_OPEN_SERVER = "half-open line to the server"
    DELAY_SERVER = "heartbeats late"
    SLOW_SERVER = "slow line to the server"
    RESET_SERVER = "line to the server reset"
    CUT_RELAY = "cut a worker from the relay"
    HALF_OPEN_RELAY = "half-open line to the relay"
    DELAY_RELAY = "relay's answers late"
    SLOW_RELAY = "slow line to the relay"
    RESET_RELAY = "line to the relay reset"
    PAUSE_SLICES = "slices paused by hand"
    RESET_SLICES = "slices reset by hand"


class Strike(NamedTuple):
    """One fault. `after`: so many recipients accepted; None: when the admins' mail is on its way. `seconds`:
    until it is mended. `severity`: from 0 to 1, for those that have degrees."""

    after: int | None
    deed: Deed
    seconds: float
    severity: float

    def __str__(self) -> str:
        when = "at the notice" if self.after is None else f"after {self.after:,}"
        return f"{when}: {self.deed}, {self.seconds:.1f} s, severity {self.severity:.2f}"


class Schedule(NamedTuple):
    """A batch and what befalls it. `refused` and `put_off` match the addresses that the relay refuses for
    good, and always for now. `cached_workflows`: of a worker; with 0 each task replays the history.
    `failing_calls`: the part of the server's calls to its database that fails, of which most have been
    carried out. `long_history`: at so many events the batch continues as new; None: as the server has it."""

    seed: int
    server: Server
    recipients: int
    connections: int
    slice_size: int | None
    in_doubt: InDoubt
    workers: int
    cached_workflows: int
    relay: Behaviour
    refused: re.Pattern[str]
    put_off: re.Pattern[str]
    failing_calls: float
    long_history: int | None
    strikes: tuple[Strike, ...]

    def __str__(self) -> str:
        facts = [
            f"seed {self.seed} on {self.server}: {self.recipients:,} recipients, {self.in_doubt}",
            f"{self.connections} connections, slices of {self.slice_size or 'the usual size'}",
            f"{self.workers} workers that keep {self.cached_workflows} workflows",
            f"{self.failing_calls:.1%} of the database's calls fail",
            f"a history is long with {self.long_history or 'the usual number of'} events",
        ]
        lines = [", ".join(facts), f"  relay: {_misdeeds(self.relay)}"]
        return "\n".join([*lines, *(f"  {strike}" for strike in self.strikes)])


class _Kind(NamedTuple):
    """How often a deed is drawn, for how many seconds at least and at most, and on which server alone."""

    weight: int
    least: float
    most: float
    only: Server | None = None


_KINDS = {
    Deed.KILL_WORKER: _Kind(6, 0.0, 4.0),
    Deed.KILL_WORKERS: _Kind(2, 0.0, 4.0),
    Deed.STOP_WORKER: _Kind(2, 0.0, 2.0),
    Deed.FREEZE_WORKER: _Kind(4, HEARTBEAT_TIMEOUT + 0.5, HEARTBEAT_TIMEOUT + 4.0),
    Deed.KILL_SERVER: _Kind(3, 0.0, 5.0),
    Deed.KILL_DATABASE: _Kind(3, 0.0, 5.0, Server.POSTGRES),
    Deed.KILL_BOTH: _Kind(2, 0.0, 5.0, Server.POSTGRES),
    Deed.KILL_RELAY: _Kind(2, 0.0, 3.0),
    Deed.CUT_SERVER: _Kind(2, 0.5, 6.0),
    Deed.HALF_OPEN_SERVER: _Kind(2, 0.5, 7.0),
    Deed.DELAY_SERVER: _Kind(3, 2.0, 6.0),
    Deed.SLOW_SERVER: _Kind(1, 2.0, 5.0),
    Deed.RESET_SERVER: _Kind(2, 0.1, 2.0),
    Deed.CUT_RELAY: _Kind(2, 0.5, 5.0),
    Deed.HALF_OPEN_RELAY: _Kind(2, 0.5, 7.0),
    Deed.DELAY_RELAY: _Kind(1, 1.0, 4.0),
    Deed.SLOW_RELAY: _Kind(1, 1.0, 4.0),
    Deed.RESET_RELAY: _Kind(2, 0.1, 2.0),
    Deed.PAUSE_SLICES: _Kind(1, 0.5, 3.0),
    Deed.RESET_SLICES: _Kind(1, 0.0, 0.0),
}

_AT_THE_NOTICE = (
    Deed.KILL_WORKERS,
    Deed.KILL_SERVER,
    Deed.FREEZE_WORKER,
    Deed.CUT_RELAY,
    Deed.CUT_SERVER,
    Deed.KILL_RELAY,
)


def draw(seed: int, server: Server, recipients: int, strikes: int) -> Schedule:
    """The schedule of this seed. Half of the seeds hold those in doubt, half send to them again."""
    chance = Random(f"{seed} {server} {recipients}")
    on_postgres = server is Server.POSTGRES
    return Schedule(
        seed=seed,
        server=server,
        recipients=recipients,
        connections=chance.choice((5, 20, 20, 50, 300)),
        slice_size=chance.choice((None, None, 500, 1_000, 2_500)),
        in_doubt=(InDoubt.RESEND, InDoubt.HOLD)[seed % 2],
        workers=chance.choice((2, 3)),
        cached_workflows=chance.choice((100, 100, 0)),
        relay=_relay(chance, seed),
        refused=_REFUSED,
        put_off=_PUT_OFF,
        failing_calls=chance.choice((0.0, 0.002, 0.01)) if on_postgres else 0.0,
        long_history=chance.choice((None, 60)) if on_postgres else None,
        strikes=_strikes(chance, server, recipients, strikes),
    )


def _strikes(chance: Random, server: Server, recipients: int, number: int) -> tuple[Strike, ...]:
    possible = {deed: kind for deed, kind in _KINDS.items() if kind.only in (None, server)}
    deeds = chance.choices(list(possible), [kind.weight for kind in possible.values()], k=number)
    # None in the last tenth: who is refused is never accepted, and the last strikes shall strike, too.
    after = sorted(chance.randint(recipients // 50, recipients * 9 // 10) for _ in deeds)
    found = [_strike(chance, moment, deed) for moment, deed in zip(after, deeds, strict=True)]
    if chance.random() < 0.5:
        found.append(_strike(chance, None, chance.choice(_AT_THE_NOTICE)))
    return tuple(found)


def _strike(chance: Random, after: int | None, deed: Deed) -> Strike:
    kind = _KINDS[deed]
    return Strike(after, deed, chance.uniform(kind.least, kind.most), chance.random())


# The relay

_REFUSED = re.compile(r"-\d*13@")
_PUT_OFF = re.compile(r"-\d*0077@")

_ODD = 0.001
"""How often a mail meets each of the drops and answers that were drawn; a connection does more often."""

_DROPS: Mapping[FaultStage, float] = {
    "greeting": 50 * _ODD,
    "ehlo": 50 * _ODD,
    "mail": _ODD,
    "rcpt": _ODD,
    "data": _ODD,
    "body": _ODD,
    "dot": _ODD,
    "recorded": _ODD,
    "replied": _ODD,
}
_PASSING: Sequence[tuple[FaultStage, str, float]] = (
    ("rcpt", "450 4.2.0 greylisted", 10 * _ODD),
    ("rcpt", "421 4.3.2 going down", _ODD),
    ("data", "451 4.3.0 try again", 5 * _ODD),
    ("dot", "452 4.3.1 out of space", 5 * _ODD),
    ("dot", "421 4.3.2 going down", _ODD),
    ("greeting", "421 4.7.0 too many connections", 50 * _ODD),
    ("mail", "421 4.7.0 too many messages", _ODD),
    ("mail", "451 4.3.0 try again", _ODD / 10),
)


def _relay(chance: Random, seed: int) -> Behaviour:
    """A relay that refuses some for good, and in passing drops, defers and closes."""
    faults = [
        # The notice is a moment that strikes can meet.
        Fault(stage="recorded", do="delay", seconds=0.5, match=re.escape(ADMIN)),
        Fault(stage=chance.choice(("rcpt", "dot")), reply="550 5.1.1 no such user", match=_REFUSED.pattern),
        Fault(stage="rcpt", reply="452 4.2.2 mailbox full", match=_PUT_OFF.pattern),
    ]
    faults += [
        Fault(stage=stage, do="drop", odds=odds) for stage, odds in _DROPS.items() if chance.random() < 0.4
    ]
    faults += [
        Fault(stage=stage, reply=reply, odds=odds) for stage, reply, odds in _PASSING if chance.random() < 0.4
    ]
    return Behaviour(
        pipelining=chance.random() < 0.75,
        max_connections=chance.choice((None, None, 4, 15)),
        messages_per_connection=chance.choice((None, None, 50, 400)),
        # Nothing here cuts the power: what the relay has written outlives its own death.
        fsync=False,
        seed=seed,
        faults=tuple(faults),
    )


def _misdeeds(relay: Behaviour) -> str:
    limits = {
        "connections at most": relay.max_connections,
        "mails a connection": relay.messages_per_connection,
    }
    said = ["PIPELINING" if relay.pipelining else "no PIPELINING"]
    said += [f"{most} {what}" for what, most in limits.items() if most]
    said += [f"{fault.reply[:3] or fault.do} at {fault.stage}" for fault in relay.faults]
    return ", ".join(said)

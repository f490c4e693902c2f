"""What the relay's events tell of causes: whom it left without an answer, and what it said to whom."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.relays.process import Event

ANYBODY = ""
"""Whom a refusal meets that the relay gives before it has heard of a recipient."""

_AN_ANSWERS_WAY = 1.0
"""Seconds after an answer in which a harm may still keep it from arriving."""


class Harm(NamedTuple):
    """From when to when (`time.time`) the relay was dead, or a line to it was harmed."""

    begun: float
    ended: float


class _UnderWay(NamedTuple):
    """A mail after DATA. `stage`: data, then body, dot, and recorded or answered; `since`: when the relay was
    told of it, or when it answered."""

    address: str
    stage: str
    since: float

    def at(self, stage: str, since: float | None = None) -> _UnderWay:
        return self._replace(stage=stage, since=self.since if since is None else since)


def unanswered(events: Iterable[Event], harms: Sequence[Harm]) -> list[str]:
    """Whose mail each connection was left with that ended before the mail's answer could arrive, and by the
    relay's doing or a harm's: the most whom a live worker can have in doubt.

    Not whose worker was killed, who is one a connection of a superseded attempt; not who was answered. A
    relay that was killed tells of no ends.
    """
    under_way: dict[int, _UnderWay] = {}
    dropped: set[int] = set()
    found: list[str] = []
    for event in events:
        number = event.connection
        mail = under_way.get(number)
        match event.event:
            case "data":
                under_way[number] = _UnderWay(event.address, "data", event.time)
            case "body" | "dot" if mail is not None:
                under_way[number] = mail.at(event.event)
            case "recorded" if mail is not None:
                under_way[number] = mail.at("recorded", event.time)
            case "refused" if mail is not None and mail.stage == "data":
                del under_way[number]
            case "refused" if mail is not None:
                under_way[number] = mail.at("answered", event.time)
            case "mail" | "rset" | "limit" | "quit":
                under_way.pop(number, None)
            case "dropped":
                dropped.add(number)
            case "closed" if mail is not None:
                del under_way[number]
                before_the_body = mail.stage == "data"
                by_the_relay = number in dropped and not before_the_body
                if by_the_relay or (number not in dropped and _is_harmed(mail, event.time, harms)):
                    found.append(mail.address)
    return found + [mail.address for mail in under_way.values() if _is_harmed(mail, math.inf, harms)]


def _is_harmed(mail: _UnderWay, ended: float, harms: Sequence[Harm]) -> bool:
    """Whether a harm may have kept its answer from arriving."""
    last = ended if mail.stage in ("data", "body", "dot") else mail.since + _AN_ANSWERS_WAY
    return any(harm.begun <= last and harm.ended >= mail.since for harm in harms)


def refusals(events: Iterable[Event]) -> Mapping[str, Collection[str]]:
    """By recipient, or ANYBODY: the replies that were a no."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.event == "refused":
            found[event.address].add(event.line)
    return found

"""How a relay of the tests behaves: shared by the process and by the tests that start it.

Plain dataclasses, since the process stands on the standard library alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

FaultStage = Literal[
    "greeting",
    "ehlo",
    "starttls",
    "auth",
    "rset",
    "mail",
    "rcpt",
    "data",
    "body",
    "dot",
    "recorded",
    "replied",
]
"""Where a fault strikes: at a command's answer; `body`: within the message; `dot`: before the message is
recorded; `recorded`: after that, before the reply; `replied`: after the reply."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong at `stage`, for addresses that `match` (a regular expression, searched; the
    sender at `mail`, the recipient from `rcpt` on), after the first `skip` such, by the `odds`, until it has
    struck `times` (None: always).

    `do`: `reply` says `reply` in place of the usual answer (a 421 closes too; `replied`: in addition to it);
    `leave` answers as usual, then closes; `drop` closes without a word; `silence` never answers; `hold`
    waits for a `release`, then answers as usual; `delay` does so after `seconds`; `babble` says `reply` over
    and over, as it stands, until the other side leaves. `{address}` and `{sender}` in `reply` are filled in;
    octets that are no UTF-8 stand in it as surrogate escapes.

    `odds`: 0 to 1. The dice are the behaviour's `seed`: the n-th time that an address comes to a fault, its
    fate is the same in every run, whatever the others do meanwhile.
    """

    stage: FaultStage
    do: Literal["reply", "leave", "drop", "silence", "hold", "delay", "babble"] = "reply"
    reply: str = ""
    match: str = ""
    skip: int = 0
    odds: float = 1.0
    times: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What the relay offers and how it errs.

    `size`: None does not offer SIZE, 0 names no limit. `login`: user and password, demanded before MAIL.
    `over_limit`: what a connection above `max_connections` meets. `messages_per_connection`: the MAIL after
    them is answered 421. `rate`: how many a second (connections, messages or recipients: `rate_at`) get by,
    over all connections, a second's worth at once; what is more meets `over_rate`. `idle`: seconds until an
    idle connection is closed by 421. `byte_by_byte`: each octet of a reply leaves alone, `between_octets`
    seconds after the one before. `lines`: how many a reply has. `lenient`: RCPT and DATA are taken also after
    a refused MAIL or RCPT. `messages`: folder for the accepted messages. `seed`: of the faults' odds.
    """

    pipelining: bool = True
    eight_bit: bool = True
    utf8: bool = True
    size: int | None = 0
    tls: Literal["none", "starttls", "implicit"] = "none"
    certificate: str = ""
    login: tuple[str, str] | None = None
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    max_connections: int | None = None
    over_limit: Literal["421", "drop"] = "421"
    messages_per_connection: int | None = None
    rate: float | None = None
    rate_at: Literal["greeting", "mail", "rcpt", "dot"] = "mail"
    over_rate: str = "450 4.7.1 Error: too much mail from 127.0.0.1"
    idle: float | None = None
    byte_by_byte: bool = False
    between_octets: float = 0.0
    lines: int = 1
    lenient: bool = False
    fsync: bool = True
    messages: str = ""
    seed: int = 0
    faults: tuple[Fault, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """What `behaviour` reads."""
        return asdict(self)


def behaviour(found: dict[str, Any]) -> Behaviour:
    """The Behaviour that `as_json` wrote; an unknown name is a TypeError."""
    given = {name.name: found[name.name] for name in fields(Behaviour) if name.name in found}
    unknown = found.keys() - given.keys()
    if unknown:
        raise TypeError(f"unknown behaviour: {', '.join(sorted(unknown))}")
    given["faults"] = tuple(Fault(**fault) for fault in given.get("faults", ()))
    given["login"] = tuple(given["login"]) if given.get("login") else None
    return Behaviour(**given)

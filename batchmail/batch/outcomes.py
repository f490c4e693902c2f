"""What becomes of a recipient, and what a relay's answer says about it: words only."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What became of a recipient."""

    SENT = "sent"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"


FINAL_OUTCOMES = (Outcome.SENT, Outcome.REJECTED, Outcome.EXPIRED, Outcome.UNKNOWN, Outcome.SUPPRESSED)
"""The outcomes a finished batch counts; `deferred` is only ever on the way to one of them."""


class Stage(StrEnum):
    """Where in the SMTP session something was said (RFC 5321, section 3 and 4.5.3.2)."""

    NONE = ""
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    FILL = "fill"
    """Not SMTP: the message could not be filled for this recipient."""


class Cause(NamedTuple):
    """Why a recipient has its outcome: `stage`, the relay's `code` (0: it said nothing) and its enhanced
    status code (RFC 3463, such as "5.1.1"; "" where it gave none)."""

    stage: Stage
    code: int = 0
    enhanced: str = ""


NO_CAUSE = Cause(Stage.NONE)


class Follows(StrEnum):
    """What follows for the recipient of a transaction (the outcome table of docs/architecture.md)."""

    SENT = "sent"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    PENDING = "pending"
    """The connection is gone before the body; the recipient is untouched."""
    IN_DOUBT = "in doubt"
    """No clear answer after the body began to go out (RFC 1047)."""
    RELAY_FAULT = "relay fault"
    """The relay is at fault, not the recipient, who is untouched."""
    THROTTLED = "throttled"
    """Mail comes too fast for the relay; the recipient is untouched (batchmail.batch.throttle)."""


class Verdict(NamedTuple):
    """What a transaction came to."""

    follows: Follows
    cause: Cause

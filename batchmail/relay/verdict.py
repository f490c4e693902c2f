"""Decide what a relay's answer means for the recipient: the whole outcome table, one pure function.

| what happened | what follows |
| --- | --- |
| anything but success up to AUTH | relay fault |
| 530, 535, 538, x.1.7, x.1.8, 5.4.5 at any stage | relay fault (login, sender, quota) |
| lost or closed by 421 before the body | pending: the recipient is untouched |
| 503 at RCPT or DATA | pending: the connection is out of step, and closed |
| MAIL refused with 552 or x.3.4 | rejected (4xx: deferred): the message is too large |
| MAIL refused otherwise | relay fault: the sender is refused |
| 5xx at RCPT, DATA, in the body or after the final dot | rejected |
| 4xx there; 421 once the body has begun | deferred |
| 2xx after the final dot | sent |
| lost once the body has begun | in doubt (RFC 1047) |
"""

from __future__ import annotations

from functools import lru_cache

from batchmail.batch.outcomes import Cause, Follows, Stage, Verdict

LOST = 0
"""The code that stands for: connection lost, no reply in time, or none that makes sense."""

_OPENING = {Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH}
_BEFORE_BODY = {Stage.RSET, Stage.MAIL, Stage.RCPT, Stage.DATA}
_BODY_BEGUN = {Stage.BODY, Stage.DOT}
_RECIPIENTS_TURN = {Stage.RCPT, Stage.DATA}

_LOGIN_CODES = {530, 534, 535, 538}
"""Login needed, mechanism too weak, login wrong, encryption needed for it (RFC 4954, section 6)."""

_SENDER_SUBJECTS = {"1.7", "1.8"}
"""Bad sender's mailbox, bad sender's system (RFC 3463, section 3.2), whatever the class."""

_QUOTA = "5.4.5"
"""The sender's quota is used up: what large providers answer."""

_BAD_SEQUENCE = 503
"""RFC 5321, section 4.2.2: relay and session are out of step, which is nothing about the recipient."""

_TOO_LARGE_CODE, _TOO_LARGE_SUBJECT = 552, "3.4"
"""RFC 1870, section 6.1; RFC 3463, section 3.4."""


@lru_cache(maxsize=1024)
def verdict(stage: Stage, code: int, enhanced: str = "") -> Verdict:
    """What follows for the recipient when `stage` is answered with `code` and `enhanced`.

    `code` 0 (LOST) says that no answer came. A positive answer where none of its kind belongs (250 to DATA,
    354 to RCPT) is no answer either; only after the final dot does 2xx say something on its own: sent. The
    positive answers on the way there are the session's business, not this function's.
    Raises ValueError for a stage that is no part of a session.
    """
    return Verdict(_follows(stage, code, enhanced), Cause(stage, code, enhanced))


def _follows(stage: Stage, code: int, enhanced: str) -> Follows:
    if stage in _OPENING:
        return Follows.RELAY_FAULT
    if stage not in _BEFORE_BODY and stage not in _BODY_BEGUN:
        raise ValueError(f"{stage.name} is not a stage of an SMTP session")
    begun = stage in _BODY_BEGUN
    if stage is Stage.DOT and 200 <= code < 300:
        return Follows.SENT
    if code < 400:
        return Follows.IN_DOUBT if begun else Follows.PENDING
    if is_senders_fault(code, enhanced):
        return Follows.RELAY_FAULT
    if stage is Stage.RSET or (code == 421 and not begun):
        return Follows.PENDING
    if code == _BAD_SEQUENCE and stage in _RECIPIENTS_TURN:
        return Follows.PENDING
    if stage is Stage.MAIL and not _is_too_large(code, enhanced):
        return Follows.RELAY_FAULT
    return Follows.REJECTED if code >= 500 else Follows.DEFERRED


def is_senders_fault(code: int, enhanced: str) -> bool:
    """Whether a refusal blames login, sender or quota, at whatever stage it comes."""
    return code in _LOGIN_CODES or enhanced == _QUOTA or enhanced[2:] in _SENDER_SUBJECTS


def _is_too_large(code: int, enhanced: str) -> bool:
    return code == _TOO_LARGE_CODE or enhanced[2:] == _TOO_LARGE_SUBJECT

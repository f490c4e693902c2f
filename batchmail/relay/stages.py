"""The stages of an SMTP session as a table: how long each may take, and how to speak of it.

Time-outs are RFC 5321, section 4.5.3.2, where it names one. (The form is Postfix's src/smtp/smtp_proto.c.)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from batchmail.batch.outcomes import Stage


class StageFacts(NamedTuple):
    """`time_out`: how long the relay may stay silent. `phrase`: completes "the connection was lost …"."""

    time_out: timedelta
    phrase: str


Stages = Mapping[Stage, StageFacts]

STAGES: Stages = {
    Stage.CONNECT: StageFacts(timedelta(seconds=30), "while connecting"),
    Stage.GREETING: StageFacts(timedelta(minutes=5), "while waiting for the greeting"),
    Stage.EHLO: StageFacts(timedelta(minutes=5), "while sending EHLO"),
    Stage.STARTTLS: StageFacts(timedelta(minutes=2), "while starting TLS"),
    Stage.AUTH: StageFacts(timedelta(minutes=5), "while logging in"),
    Stage.RSET: StageFacts(timedelta(minutes=1), "while sending RSET"),
    Stage.MAIL: StageFacts(timedelta(minutes=5), "while sending MAIL FROM"),
    Stage.RCPT: StageFacts(timedelta(minutes=5), "while sending RCPT TO"),
    Stage.DATA: StageFacts(timedelta(minutes=2), "while sending DATA"),
    Stage.BODY: StageFacts(timedelta(minutes=3), "while sending the message"),
    Stage.DOT: StageFacts(timedelta(minutes=10), "after the end of the message"),
}
"""Every stage in which the relay has the word. BODY's time-out is that of one piece of the message."""

"""What an operator can tell or ask a batch that is under way, and the command that does it."""

from __future__ import annotations

import shlex
from enum import StrEnum


class Order(StrEnum):
    """A command; `pause` and `resume` are also the names of the workflow's signals."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    STATUS = "status"


def command(order: Order, batch_id: str) -> str:
    """It as a command line, to be copied."""
    return shlex.join(["python", "starter.py", str(order), batch_id])

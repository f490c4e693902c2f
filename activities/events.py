"""Named moments in a slice's life that a test can arm; no-ops otherwise.

BATCH_ARM="body_sent:5=kill" ends this process with SIGKILL at the fifth body; `stop` freezes it with SIGSTOP.
So a test meets a moment exactly, instead of sleeping and hoping.
"""

from __future__ import annotations

import os
import re
import signal

_ARMED = re.fullmatch(r"(\w+):(\d+)=(kill|stop)", os.environ.get("BATCH_ARM", ""))
_name, _times, _signal = (
    (_ARMED[1], int(_ARMED[2]), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[_ARMED[3]])
    if _ARMED
    else ("", 0, signal.SIGKILL)
)
armed = _ARMED is not None
_seen = 0


def happened(name: str) -> None:
    """The moment `name` has come."""
    global _seen
    if name == _name:
        _seen += 1
        if _seen == _times:
            os.kill(os.getpid(), _signal)

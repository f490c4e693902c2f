"""End a process that has spoken to Temporal."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from batchmail.engine.tracing import finish_tracing


def leave(code: int) -> NoReturn:
    """End this process with `code`, now, all being said.

    A thread of the SDK may still be at the end of a connection attempt. It enters Python whenever it likes:
    into an interpreter that is being taken down it panics and prints a stack trace of its own, or both wait
    for ever. So the interpreter is not taken down; nothing that stands in `atexit` runs.
    """
    finish_tracing()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

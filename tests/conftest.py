"""What holds for every test: none of the user's own settings, and no process left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid

import pytest

from tests.processes import forget_settings, processes_with

pytest_plugins = ["tests.fuzzing", "tests.relays.fixtures", "tests.stacks"]

forget_settings()

# Every process started by the tests inherits this mark, however deep, and whoever has become its parent;
# the processes that share the tests among them (pytest-xdist) have it from the one that hands them out.
_MARK = os.environ.setdefault("BATCHMAIL_TEST_SESSION", str(uuid.uuid4()))

_SECONDS_TO_END = 5.0

# A run that is told to end ends as by Ctrl-C: what its tests started ends with it.
signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session when a process started by a test outlives it, and name the process."""
    if hasattr(session.config, "workerinput"):
        return  # whoever hands out the tests looks, when all the others have ended
    until = time.monotonic() + _SECONDS_TO_END
    while (left := processes_with(_MARK)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid, command in left.items():
        print(f"\nLeft behind by the tests: process {pid}: {command}", file=sys.stderr)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

"""Bad input by the thousand: how many examples each property gets, and how many were tried in all.

`FUZZ_EXAMPLES` says how many; `make fuzz` runs the tests marked `fuzz` with 10,000 each. The sum at the end
counts every example that reached such a test's body, in every process that shares the tests.
"""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any

import hypothesis
import pytest

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))

# Nothing is asserted of how long anything takes.
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.load_profile("fuzz")

_KEY = "inputs tried"


class _Count:
    """Of this process, and of those that share the tests with it once they have ended."""

    tried = 0


def pytest_itemcollected(item: pytest.Item) -> None:
    """Count the examples of a property marked `fuzz`."""
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is not None and item.get_closest_marker("fuzz") and not hasattr(handle, "is_counted"):
        handle.is_counted = True
        handle.inner_test = _counted(handle.inner_test)


def _counted(test: Any) -> Any:
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def within_a_loop(*args: Any, **kwargs: Any) -> None:
            _Count.tried += 1
            await test(*args, **kwargs)

        return within_a_loop

    @functools.wraps(test)
    def counted(*args: Any, **kwargs: Any) -> None:
        _Count.tried += 1
        test(*args, **kwargs)

    return counted


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell whoever hands out the tests."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_KEY] = _Count.tried


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of the processes that share the tests has ended (pytest-xdist)."""
    _Count.tried += getattr(node, "workeroutput", {}).get(_KEY, 0)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say the sum, where it is more than nothing."""
    if _Count.tried:
        terminalreporter.write_line(f"Inputs tried by the tests marked fuzz: {_Count.tried:,}")

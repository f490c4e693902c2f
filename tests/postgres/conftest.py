"""The bench of tests/program, on the production server: one suite, two backends."""

from __future__ import annotations

import pytest

from scripts.server import Stack
from tests.program.conftest import bench, cached_workflows, desk, store

__all__ = ["bench", "cached_workflows", "desk", "store", "temporal_server"]


@pytest.fixture
def temporal_server(stack: Stack) -> str:
    """The address of the stack that all tests share; modules whose tests kill it take one of their own."""
    return stack.address

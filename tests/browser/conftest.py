"""What the tests in a browser share: the production server with its Web UI, and Chromium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from scripts.server import Stack
from tests.browser.web_ui import WebUi, create_search_attributes, opened
from tests.program.bench import Bench
from tests.program.conftest import bench, cached_workflows, store

__all__ = ["bench", "cached_workflows", "store", "temporal_server", "web_ui"]


@pytest.fixture(scope="session")
def temporal_server(stack: Stack) -> str:
    """The shared stack's address, once it has the search attributes that a first worker creates."""
    asyncio.run(create_search_attributes(stack))
    return stack.address


@pytest.fixture
async def web_ui(stack: Stack, bench: Bench) -> AsyncIterator[WebUi]:
    """The Web UI in a browser of the test's own."""
    async with opened(stack, bench.client) as page:
        yield page

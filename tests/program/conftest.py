"""What the tests of the whole program share: one real Temporal server for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.settings import Settings


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real development server, on a folder and on ports of its own."""
    state = tmp_path_factory.mktemp("temporal")
    with DevServer(state, print, cli=Settings().batch_temporal_cli, usual=any_free()) as running:
        yield running.address

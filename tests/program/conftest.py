"""What the tests of the whole program share: one real Temporal server for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from batchmail.engine.connect import connect
from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.settings import Settings
from batchmail.store import Store
from tests.buckets import BucketServer
from tests.program.bench import Bench
from tests.program.starter_process import Desk
from tests.relays import Behaviour
from tests.relays.fixtures import StartRelay


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real development server, on a folder and on ports of its own."""
    state = tmp_path_factory.mktemp("temporal")
    with DevServer(state, print, cli=Settings().batch_temporal_cli, usual=any_free()) as running:
        yield running.address


@pytest.fixture
def cached_workflows() -> str:
    """How many workflows a worker keeps in memory; KEPT_OR_NOT has it none as well."""
    return "100"


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """One object store for all tests; each has a prefix of its own."""
    server = BucketServer(tmp_path_factory.mktemp("bucket"))
    yield server
    server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The bench's store."""
    return Store(tmp_path / "store")


@pytest.fixture
async def bench(
    request: pytest.FixtureRequest,
    temporal_server: str,
    tmp_path: Path,
    start_relay: StartRelay,
    cached_workflows: str,
    store: Store,
) -> AsyncIterator[Bench]:
    """A bench for whole batches; `@pytest.mark.behaviour(Behaviour(…))` says how its relay behaves."""
    mark = request.node.get_closest_marker("behaviour")
    behaviour = mark.args[0] if mark else Behaviour()
    client = await connect(address=temporal_server)
    found = Bench(
        client, temporal_server, tmp_path, start_relay(behaviour), behaviour, cached_workflows, store
    )
    yield found
    found.stop()


@pytest.fixture
def desk(bench: Bench) -> Iterator[Desk]:
    """The starter beside the bench's server, store and relay."""
    found = Desk(bench.folder, bench.environment)
    yield found
    found.stop()

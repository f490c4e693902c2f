"""What a server leaves in the state folder names lists and admins: its owner alone reads it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmail.engine.dev_server import DevServer
from batchmail.engine.ports import any_free
from batchmail.settings import Settings
from scripts.server.process import Process
from tests.program.starter_process import Desk

SERVERS = {"temporal.db", "temporal.db-wal", "temporal.db-shm", "temporal.log", "temporal.json"}


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """By which everybody may read what is made."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def serve(state: Path) -> dict[str, int]:
    """The modes while a server runs."""
    with DevServer(state, print, cli=Settings().batch_temporal_cli, usual=any_free()):
        return modes(state)


def test_the_servers_files_are_its_owners_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    found = serve(state)
    assert found.keys() >= SERVERS
    assert set(found.values()) == {0o600}, found
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_what_an_earlier_version_left_for_all_to_read_is_closed(tmp_path: Path) -> None:
    serve(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    found = serve(tmp_path)
    assert {found[name] for name in SERVERS} == {0o600}, found


def test_a_batch_leaves_nothing_that_others_can_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {"BATCH_STATE": str(tmp_path / "deep" / "state")})
    desk.write_list(1)
    try:
        desk.call("--dev", code=0)
    finally:
        desk.stop()
    made = [tmp_path / "deep", *(tmp_path / "deep").rglob("*")]
    assert {"state", "worker.log", "temporal.db", "store", "mailbox"} <= {path.name for path in made}
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_logs_of_the_production_servers_are_their_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "it.log").touch()
    process = Process("it", tmp_path)
    process.launch([sys.executable, "-c", ""], os.environ)
    while process.is_running:
        pass
    assert set(modes(tmp_path).values()) == {0o600}

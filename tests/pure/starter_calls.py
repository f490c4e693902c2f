"""Call the starter within this process: its exit code and what it said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from temporalio.client import Client

from batchmail.cli.start import main
from batchmail.settings import Relay, Settings

MESSAGE = "---\nsubject: Hello {{ first_name }}\nfrom: Club <club@example.org>\n---\nDear {{ first_name }},\n"
LIST = "email,First Name\nada@example.com,Ada\nbob@example.com,Bob\n"


class Said(NamedTuple):
    """What a call came to."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one error line."""
        found = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(found) == 1, self.err
        return found[0]

    @property
    def object(self) -> dict[str, object]:
        """The one JSON object, which stands alone on one line."""
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


class Starter:
    """A folder with list and message, a state folder, and the starter. There is no Temporal server."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.list = folder / "list.csv"
        self.message = folder / "message.txt"
        self.store = folder / "state" / "store"
        self.list.write_text(LIST)
        self.message.write_text(MESSAGE)
        self._capture = capture

    def __call__(self, *arguments: str | Path, code: int) -> Said:
        """Call it with these arguments; it must end with `code`."""
        self._capture.readouterr()
        ended = main(_no_worker, [str(one) for one in arguments])
        said = Said(ended, *self._capture.readouterr())
        assert said.code == code, said
        return said


@asynccontextmanager
async def _no_worker(client: Client, settings: Settings, relay: Relay) -> AsyncIterator[None]:
    pytest.fail("no worker may be started")
    yield  # type: ignore[unreachable]


@pytest.fixture
def starter(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Starter:
    """The starter in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCH_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "100")
    return Starter(tmp_path, capsys)

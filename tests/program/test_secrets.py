"""Passwords and keys are shown nowhere and written nowhere, whatever is logged and whatever fails."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmail.engine.connect import connect
from tests.processes import processes_with
from tests.program.bench import Bench, waiting
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import StartRelay

SECRETS = {
    "SMTP_PASSWORD": "mark-me-the-password",
    "TEMPORAL_API_KEY": "mark-me-the-api-key",
    "BATCH_ENCRYPTION_KEYS": f"first:{base64.b64encode(b'mark-me' * 4 + b'keys').decode()}",
}
LOGIN = ("news", SECRETS["SMTP_PASSWORD"])


WORDS = (
    b"mark-me",
    SECRETS["BATCH_ENCRYPTION_KEYS"].partition(":")[2].encode(),
    base64.b64encode(LOGIN[1].encode()),
    base64.b64encode("\0".join(("", *LOGIN)).encode()),
)
"""What gives a secret away: as it stands, and as a login encodes it."""


def secrets_in(*texts: bytes) -> list[bytes]:
    """Where a secret is, and what stands around it."""
    places = [(text, text.find(word)) for text in texts for word in WORDS]
    return [text[max(0, at - 80) : at + 20] for text, at in places if at >= 0]


def commands() -> list[bytes]:
    """The command lines of all that the tests have started, but for the tests' own relay."""
    everything = processes_with(os.environ["BATCHMAIL_TEST_SESSION"]).values()
    return [command.encode() for command in everything if "tests.relays" not in command]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path, {"SMTP_USERNAME": LOGIN[0], **SECRETS})
    yield found
    found.stop()


@pytest.mark.parametrize("password", [LOGIN[1], "another"], ids=["right", "wrong"])
async def test_no_secret_is_shown_or_written_whatever_is_logged(
    desk: Desk, start_relay: StartRelay, password: str
) -> None:
    """Not even with --debug: neither on the way nor in what is left of it, Temporal's database included."""
    is_right = password == LOGIN[1]
    holding = Fault(stage="mail", do="hold")
    relay = start_relay(Behaviour(login=(LOGIN[0], password), faults=(holding,)))
    desk.relay(relay)
    desk.write_list(3)
    running = desk.start("--dev", "--debug", "--yes")
    if is_right:
        await relay.wait_for(lambda event: event.event == "mail")
        assert any("start-dev" in command.decode() for command in commands())
        assert secrets_in(*commands()) == []
        relay.release()
    ended = running.ended(0 if is_right else 3)
    assert is_right or "it refused the login" in ended.err
    assert secrets_in(ended.err.encode(), ended.out.encode()) == []
    left = [file.read_bytes() for file in desk.state.rglob("*") if file.is_file()]
    assert secrets_in(*left) == []


async def test_a_worker_that_logs_everything_shows_no_secret(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login is refused at first: what fails is logged in full."""
    secrets = {name: SECRETS[name] for name in ("SMTP_PASSWORD", "BATCH_ENCRYPTION_KEYS")}
    monkeypatch.setenv("BATCH_ENCRYPTION_KEYS", secrets["BATCH_ENCRYPTION_KEYS"])
    bench.client = await connect(address=bench.environment["TEMPORAL_ADDRESS"])
    bench.relay.behave(Behaviour(login=(LOGIN[0], "another")))
    worker = await bench.worker(arguments="--debug", SMTP_USERNAME=LOGIN[0], **secrets)
    handle = await bench.start(3)
    assert "refused the login" in (await waiting(handle)).waiting[0].what
    assert secrets_in(*commands()) == []
    bench.relay.behave(Behaviour(login=LOGIN))
    assert (await handle.result()).sent == 3
    assert secrets_in(worker.log().encode()) == []

"""The codec server: Temporal's own tools read through it what is encrypted, and nobody else's pages do."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from batchmail.client import start
from batchmail.engine.codec_server import CodecServer
from batchmail.engine.connect import connect
from batchmail.engine.encryption import Encryption, read_keys
from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import Settings
from tests.program.bench import Bench

KEY = f"k:{base64.b64encode(os.urandom(32)).decode()}"
UI = "http://127.0.0.1:8080"
CODEC = Encryption(read_keys(KEY))


@pytest.fixture
def server() -> Iterator[CodecServer]:
    with CodecServer(CODEC, 0, UI) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def asked(url: str, body: bytes, method: str = "POST") -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of the answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode(), dict(answer.headers)


async def test_what_it_encodes_it_decodes(server: CodecServer) -> None:
    given = Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"mark-me"')])
    status, sealed, _ = asked(f"{server.url}/encode", json_format.MessageToJson(given).encode())
    assert status == 200
    assert base64.b64encode(b'"mark-me"').decode() not in sealed
    status, text, headers = asked(f"{server.url}/decode", sealed.encode())
    assert json_format.Parse(text, Payloads()) == given
    assert headers["Access-Control-Allow-Origin"] == UI


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/decode", b"{", 400), ("/decode", b'{"payloads": 1}', 400), ("/else", b"{}", 404)],
)
def test_what_is_no_request_is_refused(server: CodecServer, path: str, body: bytes, status: int) -> None:
    assert asked(server.url + path, body)[0] == status


async def test_a_key_that_is_missing_is_named(server: CodecServer) -> None:
    other = Encryption(read_keys(KEY.replace("k:", "other:")))
    sealed = Payloads(payloads=await other.encode([Payload(data=b"x")]))
    status, text, _ = asked(f"{server.url}/decode", json_format.MessageToJson(sealed).encode())
    assert status == 400
    assert "the key 'other', which is not here" in text


def test_a_browser_is_told_whose_pages_may_ask(server: CodecServer) -> None:
    status, _, headers = asked(f"{server.url}/decode", b"", "OPTIONS")
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == UI
    assert "X-Namespace" in headers["Access-Control-Allow-Headers"]


async def test_temporals_command_line_reads_through_it(
    bench: Bench, server: CodecServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCH_ENCRYPTION_KEYS", KEY)
    client = await connect(address=bench.environment["TEMPORAL_ADDRESS"])
    request = await bench.request(1, admins=("admin@example.org",))
    await start(client, bench.store, bench.batch, request, task_queue=bench.queue)
    temporal = find_temporal(Settings().batch_temporal_cli, print)

    async def shown(*options: str) -> bytes:
        """The batch's input, as the command line shows it."""
        call = await asyncio.create_subprocess_exec(
            temporal,
            *("workflow", "show", "--workflow-id", bench.batch, "--output", "json"),
            *("--address", bench.environment["TEMPORAL_ADDRESS"], *options),
            stdout=subprocess.PIPE,
        )
        begun = json.loads((await call.communicate())[0])["events"][0]
        payloads = begun["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
        return base64.b64decode(payloads[0]["data"])

    assert b"admin@example.org" not in await shown()
    assert b"admin@example.org" in await shown("--codec-endpoint", server.url)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("", "error: BATCH_ENCRYPTION_KEYS is not set: there is nothing to decrypt with."),
        ("k:short", "error: BATCH_ENCRYPTION_KEYS: the key k "),
    ],
)
def test_without_keys_it_does_not_start(tmp_path: Path, keys: str, sentence: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "batchmail.engine.codec_server", "--port", "0"],
        cwd=tmp_path,
        env=os.environ
        | {"BATCH_ENCRYPTION_KEYS": keys, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(sentence)
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""

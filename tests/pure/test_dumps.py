"""The search of dumps finds what is hidden in them: without this, finding nothing would say nothing."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import ActivityTaskFailedEventAttributes, History, HistoryEvent

from batchmail.batch.ledger import Ledger
from tests.dumps import readings, words_in

WORD = "Okapi-1@bücher.example"


def as_row(value: bytes) -> bytes:
    """As pg_dump writes a column of bytes."""
    return b"INSERT INTO history_node VALUES (1, '\\x" + value.hex().encode() + b"', 'Proto3');\n"


def in_failure(text: str) -> bytes:
    failed = ActivityTaskFailedEventAttributes(failure=Failure(message=text))
    return History(
        events=[HistoryEvent(event_id=7, activity_task_failed_event_attributes=failed)]
    ).SerializeToString()


def in_payload(value: object) -> bytes:
    data = json.dumps(value).encode()
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)]).SerializeToString()


WRAPPINGS: dict[str, Callable[[str], bytes]] = {
    "as text": str.encode,
    "in a column of bytes": lambda word: as_row(word.encode()),
    "in a failure's text": lambda word: as_row(in_failure(f"550 <{word}>: no such user")),
    "in a payload": lambda word: as_row(in_payload({"to": word})),
    "in a payload of a payload": lambda word: as_row(in_payload(json.dumps({"to": word}))),
    "in capitals": lambda word: as_row(word.upper().encode()),
    "in small letters": lambda word: as_row(word.lower().encode()),
    "in base64": lambda word: as_row(in_payload(base64.b64encode(word.encode()).decode())),
    "in base64 of URLs": lambda word: as_row(
        base64.urlsafe_b64encode(b"\xff\xfe" + word.encode()).rstrip(b"=")
    ),
    "in base64 after letters": lambda word: as_row(b"abcde" + base64.b64encode(word.encode())),
    "in zlib, as ledgers": lambda word: as_row(
        in_payload({"states": base64.b64encode(zlib.compress(word.encode(), 1)).decode()})
    ),
    "in gzip": lambda word: as_row(gzip.compress(word.encode())),
    "in a URL": lambda word: as_row(in_payload(f"https://x/{quote(word, safe='')}")),
    "in quoted-printable": lambda word: as_row(word.encode().replace(b"@", b"=40")),
    "in the domain name system": lambda word: as_row(word.replace("bücher", "xn--bcher-kva").encode()),
}


@pytest.mark.parametrize("wrapped", WRAPPINGS.values(), ids=WRAPPINGS)
def test_a_word_is_found(wrapped: Callable[[str], bytes]) -> None:
    dump = as_row(b"before") + wrapped(WORD) + as_row(b"after")
    assert words_in(dump, [WORD, "Wombat-2@bücher.example"]) == {WORD}


def test_a_ledger_is_read_down_to_its_rows() -> None:
    ledger = Ledger(1, b"SSSSIPPPPU" * 20)
    dump = as_row(in_payload(ledger.record().model_dump(mode="json")))
    assert bytes(ledger.states) in set(readings(dump))


def test_what_is_not_there_is_not_found() -> None:
    assert words_in(as_row(in_payload({"rows": list(range(500))})), [WORD]) == set()

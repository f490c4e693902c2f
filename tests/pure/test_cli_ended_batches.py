"""Who asks again is answered from the store, without a server; a name stands for one list and message."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from batchmail.batch.batch_cut import BatchCut, cut_name
from batchmail.batch.result import BatchResult, Status
from batchmail.report.receipt import save_receipt
from batchmail.store import Store
from tests.pure.starter_calls import LIST, Starter, starter

__all__ = ["starter"]

FIELDS = [
    *("batch_id", "status", "total", "sent", "rejected", "expired", "unknown", "suppressed"),
    *("duplicates_in_list", "invalid_rows", "in_doubt_resent", "seconds", "report", "admin_notified"),
]


def keep_receipt(starter: Starter, batch_id: str, **changes: object) -> None:
    result = BatchResult(batch_id=batch_id, status=Status.COMPLETED, total=2, sent=2, seconds=1.5)
    asyncio.run(save_receipt(Store(starter.store), result.model_copy(update=changes)))


def batch_id_of(starter: Starter) -> str:
    return str(starter("--list", starter.list, "--dry-run", "--json", code=0).object["batch_id"])


def test_a_finished_batch_is_answered_from_its_receipt(starter: Starter) -> None:
    batch_id = batch_id_of(starter)
    keep_receipt(starter, batch_id)
    said = starter("--list", starter.list, "--json", code=0)
    assert list(said.object) == FIELDS
    assert said.object["batch_id"] == batch_id
    assert "--again" in said.err
    plain = starter("--list", starter.list, "--dev", code=0)
    assert plain.out.startswith("All 2 recipients were mailed in 1.5 s.\n")


def test_a_stored_result_exits_as_the_batch_did(starter: Starter) -> None:
    keep_receipt(starter, batch_id_of(starter), sent=1, rejected=1)
    said = starter("--list", starter.list, code=1)
    assert "1 of 2 recipients mailed" in said.out
    assert "rejected" in said.out


def test_a_cancelled_batch_has_ended_as_well(starter: Starter) -> None:
    keep_receipt(starter, batch_id_of(starter), sent=1, suppressed=1, status=Status.CANCELLED)
    assert starter("--list", starter.list, "--json", code=1).object["status"] == "cancelled"


def test_a_batch_whose_admins_may_wait_for_their_mail_is_looked_for_on_the_server(starter: Starter) -> None:
    keep_receipt(starter, batch_id_of(starter))
    starter("--list", starter.list, "--admin", "boss@example.com", code=3)
    keep_receipt(starter, batch_id_of(starter), admin_notified=True)
    starter("--list", starter.list, "--admin", "boss@example.com", code=0)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({}, 0, "Batch spring has ended.\nAll 2 recipients were mailed in 1.5 s.\n"),
        ({"sent": 1, "rejected": 1}, 1, "1 of 2 recipients mailed in 1.5 s.\n  rejected  1"),
    ],
)
def test_the_status_of_a_finished_batch_is_answered_while_temporal_is_away(
    starter: Starter, changes: dict[str, object], code: int, words: str
) -> None:
    assert "No Temporal server answers" in starter("status", "spring", code=3).error
    keep_receipt(starter, "spring", **changes)
    assert words in starter("status", "spring", code=code).out
    for order in ("pause", "resume", "cancel"):
        starter(order, "spring", code=3)


def test_the_status_says_when_the_report_was_purged(starter: Starter) -> None:
    keep_receipt(starter, "spring", report="/srv/report.csv")
    assert "/srv/report.csv" in starter("status", "spring", code=0).out
    cut = BatchCut(
        snapshot="a" * 32, message="a" * 32, slice_size=1, purged=datetime(2031, 4, 1, 12, tzinfo=UTC)
    )
    asyncio.run(Store(starter.store).put(cut_name("spring"), cut.model_dump_json().encode()))
    said = starter("status", "spring", code=0).out
    assert "purged on 2031-04-01" in said
    assert "/srv/report.csv" not in said


def test_the_status_of_a_batch_whose_admins_may_wait_for_their_mail_is_asked_of_temporal(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", "boss@example.com")
    keep_receipt(starter, "spring")
    starter("status", "spring", code=3)
    keep_receipt(starter, "spring", admin_notified=True)
    starter("status", "spring", code=0)


def test_again_does_not_answer_from_the_receipt(starter: Starter) -> None:
    keep_receipt(starter, batch_id_of(starter))
    starter("--list", starter.list, "--again", code=3)


@pytest.mark.parametrize("other", ["list", "message"])
def test_a_batch_id_of_another_job_is_refused_and_says_what_it_holds(starter: Starter, other: str) -> None:
    starter("--list", starter.list, "--dry-run", code=0)
    folders = [path.name for path in (starter.store / "snapshots").iterdir()]
    message = "a" * 32
    if other == "list":
        starter.list.write_text(LIST.replace("Ada", "Ida"))
    cut = BatchCut(snapshot=folders[0], message=message, slice_size=1)
    asyncio.run(Store(starter.store).put(cut_name("spring"), cut.model_dump_json().encode()))
    for mode in ("--dry-run", "--json"):
        said = starter("--list", starter.list, "--batch-id", "spring", mode, code=2)
        assert f"another {other}" in said.error
        assert "list.csv with 2 recipients" in said.error
        assert said.out == ""


def test_a_damaged_cut_is_named(starter: Starter) -> None:
    asyncio.run(Store(starter.store).put(cut_name("spring"), b"{}"))
    said = starter("--list", starter.list, "--batch-id", "spring", code=3)
    assert "batches/spring/cut.json is damaged" in said.error


def test_the_json_object_is_plain_json(starter: Starter) -> None:
    keep_receipt(starter, batch_id_of(starter))
    line = starter("--list", starter.list, "--json", code=0).out
    assert json.loads(line)["seconds"] == 1.5


def test_the_result_as_json_is_whole_on_a_stream_that_knows_ascii_alone(starter: Starter) -> None:
    keep_receipt(starter, batch_id_of(starter), report="/srv/größe/report.csv")
    said = starter("--list", starter.list, "--json", code=0)
    assert said.out.isascii()
    assert said.object["report"] == "/srv/größe/report.csv"

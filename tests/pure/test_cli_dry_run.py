"""--dry-run: everything is checked and shown; nothing is sent, and no server is there to be asked."""

from __future__ import annotations

import pytest

from batchmail.batch.ids import batch_id_for
from tests.pure.starter_calls import LIST, Starter, starter

__all__ = ["starter"]


def test_the_first_mail_is_shown_as_its_reader_sees_it(starter: Starter) -> None:
    starter.list.write_text("email,First Name\nzoe@example.com,Zoë\nbob@example.com,Bob\n")
    starter.message.write_text(
        "---\nsubject: Grüße an {{ first_name }}\nfrom: Club <c@example.org>\n---\n.a dot, {{ first_name }}\n"
    )
    said = starter("--list", starter.list, "--dry-run", code=0)
    assert "  Subject: Grüße an Zoë\n" in said.out
    assert "  To: zoe@example.com\n" in said.out
    assert "\n  .a dot, Zoë\n" in said.out
    assert "nothing was sent" in said.err


def test_the_plan_names_slices_connections_and_batch(starter: Starter) -> None:
    starter.list.write_text("email\n" + "".join(f"u{n}@example.com\n" for n in range(100)))
    starter.message.write_text("---\nsubject: Hello\nfrom: a@example.org\n---\nHello\n")
    said = starter("--list", starter.list, "--dry-run", "--connections", "30", code=0)
    assert "10 slices of up to 10 recipients, 10 at once, 30 connections" in said.err


def test_as_json_it_is_one_object(starter: Starter) -> None:
    starter.list.write_text(LIST + "nobody,x\nADA@example.com,Ada\n")
    found = starter("--list", starter.list, "--dry-run", "--json", code=0).object
    assert found["status"] == "dry-run"
    assert (found["total"], found["duplicates_in_list"], found["invalid_rows"]) == (2, 1, 1)
    assert found["slices"] == 2


def test_who_sets_delays_and_a_time_to_give_up_learns_which_holds(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--list", starter.list, "--dry-run", "--give-up-after", "5d")
    assert "BATCH_RETRY_DELAYS" not in starter(*options, code=0).err
    monkeypatch.setenv("BATCH_RETRY_DELAYS", "1m")
    assert "BATCH_RETRY_DELAYS is set, and alone decides" in starter(*options, code=0).err


def test_the_batch_id_stands_for_list_and_message_and_no_other_option(starter: Starter) -> None:
    def batch_id(*options: str) -> object:
        return starter("--list", starter.list, "--dry-run", "--json", *options, code=0).object["batch_id"]

    plain = batch_id()
    assert batch_id("--connections", "7", "--in-doubt", "hold", "--admin", "a@example.com") == plain
    assert batch_id("--subject", "Other") != plain
    assert batch_id("--from", "other@example.org") != plain
    assert batch_id("--batch-id", "spring-sale") == "spring-sale"
    starter.list.write_text(LIST.replace("Ada", "Ida"))
    assert batch_id() != plain


def test_a_message_that_cannot_be_filled_for_somebody_is_refused_with_the_line(starter: Starter) -> None:
    starter.list.write_text("email,count\na@example.com,1\nb@example.com,0\n")
    starter.message.write_text("---\nsubject: Hi\nfrom: a@example.org\n---\n{{ 10 // (count | int) }}\n")
    said = starter("--list", starter.list, "--dry-run", "--json", code=2)
    assert "line 3: " in said.err
    assert "1 recipient of 2" in said.error
    assert said.out == ""


def test_ids_of_batches_are_unlike_for_every_mailing() -> None:
    assert len({batch_id_for("a", "b", again) for again in ("", "1", "2")}) == 3

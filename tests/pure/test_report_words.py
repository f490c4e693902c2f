"""The relay's own words in the report: best effort, never an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchmail.report.words import Words
from batchmail.store import Store
from tests.pure.finished_batch import BATCH, FULL, NO_MAILBOX, SENT, FinishedBatch


async def _said(batch: FinishedBatch) -> list[str]:
    await batch.report()
    return [row["relay_said"] for row in await batch.table()]


async def _two_slices(folder: Path) -> FinishedBatch:
    batch = await FinishedBatch.over(folder, [f"user{n}@example.com" for n in range(1, 5)])
    await batch.file(1, [NO_MAILBOX, SENT], "a", "b")
    await batch.file(3, [FULL, NO_MAILBOX], "c")
    return batch


async def test_words_stand_beside_the_recipients_they_were_said_of(tmp_path: Path) -> None:
    batch = await _two_slices(tmp_path)
    await batch.keep_words(1, 2, "b", (1, "who is <user1@example.com>?"))
    await batch.keep_words(3, 4, "c", (4, "no, thanks"), (3, "full"))
    assert await _said(batch) == ["who is <user1@example.com>?", "", "full", "no, thanks"]


async def test_a_later_attempts_words_replace_an_earlier_ones(tmp_path: Path) -> None:
    batch = await _two_slices(tmp_path)
    await batch.keep_words(1, 2, "b", (1, "not at all"))
    await batch.keep_words(1, 2, "a", (1, "not now"))
    await batch.keep_words(1, 2, "zzz-nobody-descends-from", (1, "from a lost attempt"))
    assert (await _said(batch))[0] == "not at all"


async def test_who_was_sent_in_the_end_has_no_words_of_an_earlier_delay(tmp_path: Path) -> None:
    batch = await _two_slices(tmp_path)
    await batch.keep_words(1, 2, "a", (2, "come back later"))
    assert (await _said(batch))[1] == ""


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xfe\0",
        b'[1, "cut sho',
        b'[1]\n["1", "x"]\n[1, 2]\n{"row": 1}\nnull\n7\n[1, "\\ud800"]\n',
        b'[3, "a row of another slice"]\n[0, "x"]\n[-1, "x"]\n[99, "x"]',
        b"[" * 100_000,
    ],
)
async def test_damaged_words_cost_only_themselves(tmp_path: Path, damaged: bytes) -> None:
    batch = await _two_slices(tmp_path)
    await batch.store.put(f"batches/{BATCH}/words/1-2/b", damaged + b'\n[1, "whole"]')
    await batch.store.put(f"batches/{BATCH}/words/strange", b'[1, "x"]')
    assert await _said(batch) == ["whole", "", "", ""]


async def test_words_are_read_as_the_report_comes_to_them_and_then_let_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for first in (1, 11, 21):
        lines = [json.dumps([row, f"words of {row}"]) for row in range(first, first + 10)]
        await store.put(f"batches/b/words/{first}-{first + 9}/n", "\n".join(lines).encode())
    words = await Words.find(store, "b", {"n": 0})
    assert set(await words.up_to(4)) == set(range(1, 11))
    assert set(await words.up_to(12)) == set(range(5, 21))
    assert set(await words.up_to(30)) == set(range(13, 31))

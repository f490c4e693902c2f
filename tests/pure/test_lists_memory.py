"""A long list costs no more memory than a short one, but for a few bytes about who was in it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from batchmail.lists.duplicates import SeenAddresses
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.store import Store


@pytest.mark.parametrize("at", ["@", ""], ids=["good rows", "bad rows"])
async def test_memory_does_not_grow_with_the_list(tmp_path: Path, at: str) -> None:
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("email,name,text\nann@x.org,,\n")
        for number in range(10_000):
            file.write(f"r{number}{at}example.org,Name {number},{'some text ' * 400}\n")
    store = Store(tmp_path / "store")
    tracemalloc.start()
    try:
        await take_snapshot(store, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 40 MB of list; one block of 4 MB at a time.
    assert peak < 15_000_000


def test_remembering_an_address_takes_a_few_bytes() -> None:
    tracemalloc.start()
    try:
        seen = SeenAddresses()
        for number in range(100_000):
            seen.add(f"recipient.number.{number}@example.org")
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # A set of the addresses themselves takes 14 MB.
    assert held < 6_000_000

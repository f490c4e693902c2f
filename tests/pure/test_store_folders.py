"""Store.folders: what lies in a folder, without what lies below it."""

from __future__ import annotations

from pathlib import Path

from batchmail.store import Store


async def test_folders_are_named_in_order_without_objects_and_depths(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("batches/b/cut.json", "batches/a.1/opened/1-2/x", "batches/lone", "other/c/d"):
        await store.put(name, b"")
    assert await store.folders("batches") == ["a.1", "b"]
    assert await store.folders("batches/a.1") == ["opened"]


async def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert await Store(tmp_path).folders("batches") == []

"""A list in the store: what its id covers, how it is read back, and that it is never changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchmail.batch.recipients import Recipient
from batchmail.errors import ListError, MissingObjectError, StoreError
from batchmail.lists.duplicates import SeenAddresses
from batchmail.lists.snapshot import (
    InvalidRow,
    Snapshot,
    all_recipients,
    block_name,
    invalid_name,
    load_snapshot,
    manifest_name,
    read_recipients,
)
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.store import Store
from tests.pure.csv_files import csv_file

SMALL = "email,Name\nann@x.org,Ann\nbob@x.org,Bob\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


async def everyone(store: Store, snapshot: Snapshot) -> list[Recipient]:
    return [recipient async for block in all_recipients(store, snapshot) for recipient in block]


async def test_a_snapshot_is_read_back_as_the_list_was(store: Store, tmp_path: Path) -> None:
    content = 'Name;EMAIL;note\n"Smith; Ann";Ann@X.org;"a\nb"\n\nJörg;jörg@büro.example;\n'
    scan = await take_snapshot(store, csv_file(tmp_path, content, "people.csv"))
    assert not scan.already_there
    assert scan.snapshot.list_name == "people.csv"
    assert scan.snapshot.fields == ("name", "note")
    assert await load_snapshot(store, scan.snapshot.id) == scan.snapshot
    assert await everyone(store, scan.snapshot) == [
        Recipient(2, "Ann@x.org", ("Smith; Ann", "a\nb")),
        Recipient(5, "jörg@xn--bro-hoa.example", ("Jörg", "")),
    ]


async def test_the_manifest_and_blocks_lie_where_the_design_says(store: Store, tmp_path: Path) -> None:
    scan = await take_snapshot(store, csv_file(tmp_path, SMALL + "bad,Eve\n"))
    folder = f"snapshots/{scan.snapshot.id}"
    assert await store.names(folder) == ["invalid.jsonl", "manifest.json", "recipients/000000.jsonl"]
    assert await store.get(f"{folder}/recipients/000000.jsonl") == (
        b'[2,"ann@x.org",["Ann"]]\n[3,"bob@x.org",["Bob"]]\n'
    )
    assert await store.get(f"{folder}/invalid.jsonl") == b'[4,"the address has no @"]\n'
    assert json.loads(await store.get(f"{folder}/manifest.json")) == {
        "version": 1,
        "id": scan.snapshot.id,
        "list_name": "list.csv",
        "total": 2,
        "fields": ["name"],
        "block_rows": 5000,
        "duplicates": 0,
        "invalid_rows": 1,
    }


async def test_an_id_stays_what_it_was_in_the_first_release(store: Store, tmp_path: Path) -> None:
    # Another id would make another batch of a list that was mailed already.
    scan = await take_snapshot(store, csv_file(tmp_path, SMALL))
    covered = b"1\0name\0" + b"ann@x.org\0Ann\0" + b"bob@x.org\0Bob\0"
    assert scan.snapshot.id == hashlib.sha256(covered).hexdigest()[:32] == "e26339d1ea7406af059668b763c50952"


@pytest.mark.parametrize(
    "same",
    [
        "email;Name\r\nann@x.org;Ann\r\nbob@x.org;Bob\r\n",
        'email,NAME\n\n\n"ann@x.org","Ann"\nbad,Eve\n ann@x.org,Twice\n bob@X.ORG ,Bob',
    ],
)
async def test_an_id_does_not_depend_on_how_the_list_is_written(
    store: Store, tmp_path: Path, same: str
) -> None:
    one = await take_snapshot(store, csv_file(tmp_path, SMALL))
    other = await take_snapshot(store, csv_file(tmp_path, same, "other.csv"))
    assert other.snapshot.id == one.snapshot.id
    assert other.already_there


@pytest.mark.parametrize(
    "other",
    [
        "email,Name\nann@x.org,Ann\n",
        "email,Name\nbob@x.org,Bob\nann@x.org,Ann\n",
        "email,Name\nAnn@x.org,Ann\nbob@x.org,Bob\n",
        "email,Name\nann@x.org,Ann \nbob@x.org,Bob\n",
        "email,Title\nann@x.org,Ann\nbob@x.org,Bob\n",
        "email,Name,More\nann@x.org,Ann,\nbob@x.org,Bob,\n",
        "email\nann@x.org\nbob@x.org\n",
    ],
)
async def test_an_id_changes_with_every_recipient_field_and_name(
    store: Store, tmp_path: Path, other: str
) -> None:
    one = await take_snapshot(store, csv_file(tmp_path, SMALL))
    another = await take_snapshot(store, csv_file(tmp_path, other, "other.csv"))
    assert another.snapshot.id != one.snapshot.id


async def test_a_snapshot_that_is_there_is_not_written_again(store: Store, tmp_path: Path) -> None:
    first = await take_snapshot(store, csv_file(tmp_path, SMALL + "bad,Eve\n"))
    folder = store.root / "snapshots" / first.snapshot.id
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")}
    os.utime(manifest, (0, 0))
    again = await take_snapshot(store, csv_file(tmp_path, SMALL + "bad,Eve\nANN@x.org,A\n", "later.csv"))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")} == before
    assert manifest.read_bytes() == content
    assert manifest.stat().st_mtime > 0, "it tells when the list was read last"
    assert again.already_there
    assert again.snapshot.list_name == "later.csv"
    assert (again.snapshot.invalid_rows, again.snapshot.duplicates) == (1, 1)
    assert again.invalid == (InvalidRow(4, "the address has no @"),)
    assert (await load_snapshot(store, first.snapshot.id)) == first.snapshot


async def test_rows_left_out_are_those_of_the_list_read_last(store: Store, tmp_path: Path) -> None:
    """The id does not cover them, and a person is shown where they lie."""
    first = await take_snapshot(store, csv_file(tmp_path, SMALL))
    name = invalid_name(first.snapshot.id)
    for rows, kept in (
        ("bad,1\n", b'[4,"the address has no @"]\n'),
        ("\nbad,1\n", b'[5,"the address has no @"]\n'),
    ):
        scan = await take_snapshot(store, csv_file(tmp_path, SMALL + rows))
        assert scan.already_there
        assert await store.get(name) == kept


async def test_a_snapshot_without_its_manifest_is_made_whole(store: Store, tmp_path: Path) -> None:
    path = csv_file(tmp_path, SMALL)
    scan = await take_snapshot(store, path)
    (store.root / manifest_name(scan.snapshot.id)).unlink()
    (store.root / block_name(scan.snapshot.id, 0)).unlink()
    again = await take_snapshot(store, path)
    assert not again.already_there
    assert len(await everyone(store, again.snapshot)) == 2


async def test_a_snapshot_that_is_there_is_read_as_it_was_cut(store: Store, tmp_path: Path) -> None:
    path = csv_file(tmp_path, SMALL)
    snapshot = (await take_snapshot(store, path)).snapshot
    for number, line in enumerate((await store.get(block_name(snapshot.id, 0))).splitlines()):
        await store.put(block_name(snapshot.id, number), line + b"\n")
    cut_otherwise = snapshot.model_copy(update={"block_rows": 1})
    await store.put(manifest_name(snapshot.id), cut_otherwise.model_dump_json().encode())
    again = await take_snapshot(store, path)
    assert again.already_there
    assert [recipient.line for recipient in await everyone(store, again.snapshot)] == [2, 3]


async def test_several_who_take_the_same_snapshot_do_not_disturb_each_other(
    store: Store, tmp_path: Path
) -> None:
    rows = "".join(f"r{number}@x.org,{number}\n" for number in range(12_000))
    paths = [csv_file(tmp_path, "email,n\n" + "\n" * extra + rows, f"{extra}.csv") for extra in range(4)]
    scans = await asyncio.gather(*(take_snapshot(store, path) for path in paths))
    assert len({scan.snapshot.id for scan in scans}) == 1
    assert len(await everyone(store, scans[0].snapshot)) == 12_000


async def test_any_run_of_rows_is_read_from_the_blocks_it_lies_in(store: Store, tmp_path: Path) -> None:
    rows = "".join(f"r{number}@x.org,{number}\n" for number in range(1, 12_001))
    snapshot = (await take_snapshot(store, csv_file(tmp_path, "email,n\n" + rows))).snapshot
    assert (snapshot.block_rows, snapshot.blocks) == (5000, 3)
    runs = [(1, 1), (1, 5000), (5000, 5001), (4999, 10_001), (10_001, 12_000), (12_000, 12_000), (1, 12_000)]
    for first, last in runs:
        found = await read_recipients(store, snapshot, first, last)
        assert [recipient.fields for recipient in found] == [(str(n),) for n in range(first, last + 1)]
        assert [recipient.line for recipient in found] == [n + 1 for n in range(first, last + 1)]
    (store.root / block_name(snapshot.id, 1)).unlink()
    assert len(await read_recipients(store, snapshot, 1, 5000)) == 5000
    assert len(await read_recipients(store, snapshot, 10_001, 12_000)) == 2000
    with pytest.raises(MissingObjectError):
        await read_recipients(store, snapshot, 5000, 5001)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, 3), (2, 1), (3, 3)])
async def test_rows_that_are_not_there_are_not_asked_for(
    store: Store, tmp_path: Path, first: int, last: int
) -> None:
    snapshot = (await take_snapshot(store, csv_file(tmp_path, SMALL))).snapshot
    with pytest.raises(ValueError, match="of a snapshot of 2"):
        await read_recipients(store, snapshot, first, last)


async def test_blocks_of_long_rows_are_cut_shorter(store: Store, tmp_path: Path) -> None:
    cell = "x" * 100_000
    rows = "".join(f"r{number}@x.org,{cell}\n" for number in range(100))
    snapshot = (await take_snapshot(store, csv_file(tmp_path, "email,text\n" + rows))).snapshot
    assert snapshot.block_rows == 39
    assert [recipient.line for recipient in await everyone(store, snapshot)] == list(range(2, 102))


async def test_a_damaged_snapshot_is_named_not_mailed_in_part(store: Store, tmp_path: Path) -> None:
    snapshot = (await take_snapshot(store, csv_file(tmp_path, SMALL))).snapshot
    block = store.root / block_name(snapshot.id, 0)
    content = block.read_bytes()
    block.write_bytes(content.splitlines(keepends=True)[0])
    with pytest.raises(StoreError, match="has 1 rows where 2 were written"):
        await everyone(store, snapshot)
    block.write_bytes(content.replace(b"]]", b"]"))
    with pytest.raises(StoreError, match="is damaged"):
        await everyone(store, snapshot)
    (store.root / manifest_name(snapshot.id)).write_text("{}")
    with pytest.raises(StoreError, match="not a manifest"):
        await load_snapshot(store, snapshot.id)


async def test_a_snapshot_the_store_does_not_have_is_missing(store: Store) -> None:
    with pytest.raises(MissingObjectError):
        await load_snapshot(store, "0" * 32)


async def test_of_duplicates_in_any_case_the_first_is_kept(store: Store, tmp_path: Path) -> None:
    content = (
        "email,n\nAnn@x.org,1\nann@X.ORG,2\nbob@x.org,3\n ANN@x.org,4\nbob@xn--bro-hoa.de,5\nBOB@büro.de,6\n"
    )
    snapshot = (await take_snapshot(store, csv_file(tmp_path, content))).snapshot
    assert snapshot.duplicates == 3
    assert [recipient.fields[0] for recipient in await everyone(store, snapshot)] == ["1", "3", "5"]


async def test_people_whose_names_only_fold_alike_are_different_people(store: Store, tmp_path: Path) -> None:
    scan = await take_snapshot(store, csv_file(tmp_path, "email\nstrasse@x.org\nstraße@x.org\n"))
    assert (scan.snapshot.total, scan.snapshot.duplicates) == (2, 0)


@settings(deadline=None)
@given(st.lists(st.integers(0, 500).map("u{}@x.org".format), max_size=300))
def test_an_address_is_new_exactly_once(addresses: list[str]) -> None:
    seen = SeenAddresses()
    known: set[str] = set()
    for address in addresses:
        assert seen.add(address) == (address not in known)
        known.add(address)


def test_many_addresses_in_the_same_buckets_are_told_apart() -> None:
    seen = SeenAddresses()
    assert all(seen.add(f"u{number}@x.org") for number in range(200_000))
    assert not any(seen.add(f"U{number}@x.org") for number in range(200_000))


async def test_the_first_thousand_rows_left_out_are_told_and_all_are_kept(
    store: Store, tmp_path: Path
) -> None:
    scan = await take_snapshot(store, csv_file(tmp_path, SMALL + "bad,1\n" * 1500))
    assert scan.snapshot.invalid_rows == 1500
    assert len(scan.invalid) == 1000
    kept = (await store.get(invalid_name(scan.snapshot.id))).splitlines()
    assert [json.loads(row)[0] for row in kept] == list(range(4, 1504))


async def test_a_list_without_bad_rows_has_no_object_for_them(store: Store, tmp_path: Path) -> None:
    scan = await take_snapshot(store, csv_file(tmp_path, SMALL))
    assert await store.find(invalid_name(scan.snapshot.id)) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("email,a\n", r"has a header and no rows"),
        ("email,a\n\n,\n", r"has a header and no rows"),
        ("email,a\nbad,1\n", r"no usable row: the only row is left out; line 2: the address has no @\.$"),
        ("email,a\nbad,1\n\nb@x\n", r"no usable row: all 2 rows are left out; line 2: "),
    ],
)
async def test_a_list_without_a_usable_row_is_refused_and_nothing_written(
    store: Store, tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(ListError, match=message):
        await take_snapshot(store, csv_file(tmp_path, content))
    assert await store.names("snapshots") == []


async def test_progress_is_told_on_the_event_loop(store: Store, tmp_path: Path) -> None:
    told: list[tuple[int, bool]] = []

    def progress(rows: int) -> None:
        told.append((rows, asyncio.get_running_loop() is not None))

    rows = "".join(f"r{number}@x.org\n" for number in range(5500))
    await take_snapshot(store, csv_file(tmp_path, "email\n" + rows), progress=progress)
    assert told[:5] == [(rows, True) for rows in range(1000, 6000, 1000)]


async def test_progress_is_told_after_each_block_that_is_written(store: Store, tmp_path: Path) -> None:
    """Writing may take longer than reading: whoever waits must hear of both."""
    told: list[tuple[int, int]] = []

    def progress(rows: int) -> None:
        told.append((rows, len(list(store.root.glob("snapshots/*/recipients/*")))))

    rows = "".join(f"r{number}@x.org\n" for number in range(5500))
    await take_snapshot(store, csv_file(tmp_path, "email\n" + rows), progress=progress)
    assert told[-2:] == [(5500, 1), (5500, 2)]


async def test_a_snapshot_that_nobody_waits_for_any_more_stops_reading(store: Store, tmp_path: Path) -> None:
    pipe = tmp_path / "endless.csv"
    os.mkfifo(pipe)
    begun = asyncio.Event()
    task = asyncio.create_task(take_snapshot(store, pipe, progress=lambda rows: begun.set()))

    def write_until_nobody_reads() -> None:
        with pipe.open("w") as file:
            file.write("email\n")
            for number in range(100_000_000):
                file.write(f"r{number}@x.org\n")

    writer = asyncio.create_task(asyncio.to_thread(write_until_nobody_reads))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(BrokenPipeError):
        await writer

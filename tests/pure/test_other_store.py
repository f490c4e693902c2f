"""What a worker says that does not find a batch's list and message in its store."""

from __future__ import annotations

import pytest

from activities.open_batch import other_store

MISSING = "The store of this worker, /srv/a, does not have this batch's list and message"


@pytest.mark.parametrize(
    ("starter", "rest"),
    [
        ("s3://mails/x", ", which the starter kept in s3://mails/x: give both the same BATCH_STORE."),
        ("/srv/a", ", and the starter's has the same name: give both one folder that their machines share, "),
        (None, ": give starters and workers the same BATCH_STORE."),
    ],
)
def test_both_stores_are_named_with_what_to_do(starter: str | None, rest: str) -> None:
    assert other_store("/srv/a", starter).startswith(MISSING + rest)

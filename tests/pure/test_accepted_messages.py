"""A bound for messages holds where one is accepted: a batch under way is mailed as it was accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.mails import load_mails
from batchmail.batch.batch_cut import BatchCut, cut_name
from batchmail.errors import MessageError
from batchmail.lists.take_snapshot import take_snapshot
from batchmail.message.compiled import compile_message
from batchmail.message.source import read_message, save_message
from batchmail.message.templates import MOST_TAGS
from batchmail.store import Store


@pytest.mark.parametrize("suffix", ["txt", "md"])
async def test_a_message_with_more_tags_than_new_ones_may_have_is_mailed_to_its_end(
    tmp_path: Path, suffix: str
) -> None:
    store, emails, text = Store(tmp_path / "store"), tmp_path / "emails.csv", tmp_path / f"message.{suffix}"
    emails.write_text("email,name\nada@example.org,Ada\n")
    tags = "{{ name }}\n" * (MOST_TAGS + 1)
    text.write_text(f"---\nsubject: News\nfrom: news@example.org\n---\n{tags}")
    snapshot = (await take_snapshot(store, emails)).snapshot
    message = read_message(text)
    await save_message(store, message)
    with pytest.raises(MessageError, match=r"more than 10,000 tags"):
        compile_message(message, snapshot.fields)
    cut = BatchCut(batch="spring", snapshot=snapshot.id, message=message.id, slice_size=1)
    await store.create(cut_name("spring"), cut.model_dump_json().encode())
    mails = await load_mails(store, "spring", snapshot.id, message.id, 1, 1)
    assert mails.envelope(0, eight_bit=True).data.count(b"Ada") >= MOST_TAGS + 1

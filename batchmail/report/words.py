"""The relay's own words, kept beside the outcomes as best effort.

They lie in `batches/<id>/words/<first>-<last>/<nonce>`: JSON lines [row, "words"], the row counted from 1 in
the snapshot. They often carry the address, so they go nowhere but here and into the report. They are no part
of any guarantee: a file that is missing, cut short or damaged costs its words and nothing else.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic_core import from_json

from batchmail.batch.places import batch_folder
from batchmail.errors import StoreError
from batchmail.store import Store

_LONGEST = 1000

_NAME = re.compile(r"(\d{1,12})-(\d{1,12})/(.+)")
_log = logging.getLogger(__name__)


class _File(NamedTuple):
    first: int
    order: int
    """An attempt's later words replace earlier ones; those of an attempt nobody descends from come first."""
    name: str
    last: int


class Words:
    """The relay's words, read slice by slice as the report comes to it, so that memory stays bounded."""

    def __init__(self, store: Store, batch_id: str, files: list[_File]) -> None:
        self._store = store
        self._batch_id = batch_id
        self._files = sorted(files, reverse=True)
        self._said: dict[int, str] = {}
        self._last = 0

    @classmethod
    async def find(cls, store: Store, batch_id: str, order: Mapping[str, int]) -> Words:
        """The words of a batch; `order` tells which attempt came after which."""
        try:
            names = await store.names(_folder(batch_id))
        except StoreError as error:
            _log.warning("the report goes without the relay's words: %s", error)
            names = []
        found = [match for name in names if (match := _NAME.fullmatch(name))]
        files = [_File(int(name[1]), order.get(name[3], -1), name[0], int(name[2])) for name in found]
        return cls(store, batch_id, files)

    async def up_to(self, row: int) -> Mapping[int, str]:
        """Words of rows up to `row`, and of some beyond. To be asked for rising rows: what lies before
        the row asked for last is gone."""
        self._said = {known: text for known, text in self._said.items() if known > self._last}
        self._last = row
        while self._files and self._files[-1].first <= row:
            await self._read(self._files.pop())
        return self._said

    async def _read(self, file: _File) -> None:
        try:
            content = await self._store.find(f"{_folder(self._batch_id)}/{file.name}")
        except StoreError as error:
            _log.warning("the report goes without some of the relay's words: %s", error)
            return
        for line in (content or b"").split(b"\n"):
            try:
                row, text = from_json(line)
            except (ValueError, TypeError):
                continue
            if isinstance(row, int) and isinstance(text, str) and file.first <= row <= file.last:
                self._said[row] = text[:_LONGEST]


def _folder(batch_id: str) -> str:
    return f"{batch_folder(batch_id)}/words"

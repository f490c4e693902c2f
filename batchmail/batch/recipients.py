"""A recipient: one usable row of the list."""

from __future__ import annotations

from typing import NamedTuple


class Recipient(NamedTuple):
    """`line` in the list (1 is the header), the address as it goes to the relay, and the row's other cells in
    the order of the snapshot's field names."""

    line: int
    address: str
    fields: tuple[str, ...]

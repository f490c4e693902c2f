"""Where a batch's objects lie in the store.

A batch id that the command line gives or derives is the name of its folder. Programs may name a workflow as
they like, with slashes, spaces or emoji: such a name is escaped into one that every store can hold.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

BATCHES = "batches"

_LONGEST = 200
"""A file system's names end at 255 octets."""


def folder_name(batch_id: str) -> str:
    """The one segment that stands for the batch id; different for different ids."""
    name = re.sub(r"^\.", "%2E", quote(batch_id, safe=""))
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}~{hashlib.sha256(batch_id.encode()).hexdigest()[:32]}"


def batch_folder(batch_id: str) -> str:
    """The folder of all that belongs to one batch alone."""
    return f"{BATCHES}/{folder_name(batch_id)}"

"""Names that are derived, never drawn: the same job has the same batch id, the same recipient the same
Message-ID. Only an attempt's nonce is random."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import lru_cache

from batchmail.errors import InputError

BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def batch_id_for(snapshot_id: str, message_id: str, again: str = "") -> str:
    """The batch id of a snapshot and a message; `again` (any text) makes a new one for a new mailing."""
    digest = hashlib.sha256(f"{snapshot_id}\0{message_id}\0{again}".encode()).hexdigest()
    return f"batch-{digest[:16]}"


def checked_batch_id(text: str) -> str:
    """`text`, if it can be a batch id; raises InputError otherwise."""
    if BATCH_ID.fullmatch(text) is None:
        raise InputError(
            f"--batch-id {text!r} cannot be used: letters, digits, '.', '_' and '-' are allowed, "
            "beginning with a letter or digit, at most 200."
        )
    return text


def mail_token(batch_id: str, address: str) -> str:
    """The left side of a recipient's Message-ID: the same for every try within one batch."""
    digest = _begun(batch_id).copy()
    digest.update(address.lower().encode())
    return digest.hexdigest()[:40]


@lru_cache(maxsize=16)
def _begun(batch_id: str) -> hashlib._Hash:
    return hashlib.sha256(f"{batch_id}\0".encode())


def new_nonce() -> str:
    """A name for one attempt of one slice, unlike every other."""
    return secrets.token_urlsafe(8)

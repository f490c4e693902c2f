"""The first failures of a batch, for the admins' mail: which line, what became of it, why. No addresses."""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from batchmail.batch.outcomes import Outcome
from batchmail.batch.places import batch_folder
from batchmail.store import Store

FAILURES = "failures.json"

MOST_FAILURES = 10
"""So many are named in the mail; the report has them all."""


class Failure(BaseModel):
    """Somebody who was not, or not surely, mailed; `line` is the list's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    line: int
    outcome: Outcome
    reason: str


_log = logging.getLogger(__name__)
_FAILURES = TypeAdapter(tuple[Failure, ...])


def failures_name(batch_id: str) -> str:
    """The object with a batch's first failures."""
    return f"{batch_folder(batch_id)}/{FAILURES}"


async def save_failures(store: Store, batch_id: str, failures: tuple[Failure, ...]) -> None:
    """Keep the first failures of a batch. Raises StoreError."""
    await store.put(failures_name(batch_id), _FAILURES.dump_json(failures))


async def load_failures(store: Store, batch_id: str) -> tuple[Failure, ...]:
    """The first failures of a batch; none where none were kept, or what was kept is damaged: the admins are
    told all the same. Raises StoreError where the store is out of reach."""
    name = failures_name(batch_id)
    content = await store.find(name)
    if content is None:
        return ()
    try:
        return _FAILURES.validate_json(content)
    except ValidationError:
        _log.warning("%s in the store %s is damaged: the admins' mail goes without it", name, store)
        return ()

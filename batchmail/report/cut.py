"""Read from the store what a batch is: which list and message its id stands for."""

from __future__ import annotations

from pydantic import ValidationError

from batchmail.batch.batch_cut import BatchCut
from batchmail.errors import StoreError
from batchmail.store import Store


async def load_cut(store: Store, name: str) -> BatchCut | None:
    """The cut kept as `name`; None where nobody was mailed under this batch id yet. Raises StoreError."""
    content = await store.find(name)
    if content is None:
        return None
    try:
        return BatchCut.model_validate_json(content)
    except ValidationError:
        raise StoreError(
            f"{store.path(name)} is damaged: it does not say what the batch is; put it back from a backup."
        ) from None

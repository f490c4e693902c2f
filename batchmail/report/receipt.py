"""The receipt: the finished batch's result in the store. Who asks again is answered from it; nobody is mailed
again, however old it is."""

from __future__ import annotations

from pydantic import ValidationError

from batchmail.batch.places import batch_folder
from batchmail.batch.result import BatchResult
from batchmail.errors import StoreError
from batchmail.store import Store

RECEIPT = "receipt.json"


def receipt_name(batch_id: str) -> str:
    """The object that says a batch has ended; the last one written of it."""
    return f"{batch_folder(batch_id)}/{RECEIPT}"


async def save_receipt(store: Store, result: BatchResult) -> None:
    """Keep the result of a finished batch, durably; an earlier one is replaced. Raises StoreError."""
    await store.put(receipt_name(result.batch_id), result.model_dump_json(indent=2).encode() + b"\n")


async def load_receipt(store: Store, batch_id: str) -> BatchResult | None:
    """The result of a batch that has ended; None where it has not. Raises StoreError."""
    name = receipt_name(batch_id)
    content = await store.find(name)
    if content is None:
        return None
    try:
        result = BatchResult.model_validate_json(content)
    except ValidationError:
        result = None
    if result is None or result.batch_id != batch_id:
        raise StoreError(
            f"{name} in the store {store} is not the receipt of this batch: put it back from a backup. "
            "Without it nobody is mailed: it says that the batch has ended."
        )
    return result

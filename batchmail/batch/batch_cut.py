"""What a batch is, once and for all: the object cut.json, written before anybody is mailed."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from batchmail.batch.places import BATCHES, batch_folder

CUT = "cut.json"


class BatchCut(BaseModel):
    """Which list and message a batch id stands for, and how many rows a slice has."""

    model_config = ConfigDict(frozen=True)

    v: int = 1
    batch: str = ""
    """The batch id; "" in a cut of an earlier version, whose batch id is its folder's name."""
    snapshot: str
    message: str
    slice_size: int
    purged: datetime | None = None
    """When what was personal in the batch was removed, its report too. Nobody is mailed by it ever again."""


def cut_name(batch_id: str) -> str:
    """Where the cut of a batch is kept."""
    return f"{batch_folder(batch_id)}/{CUT}"


def cut_in(folder: str) -> str:
    """Where the cut of the batch in this folder of `batches` is kept."""
    return f"{BATCHES}/{folder}/{CUT}"

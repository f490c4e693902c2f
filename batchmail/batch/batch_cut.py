"""What a batch is, once and for all: the object cut.json, written before anybody is mailed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

CUT = "cut.json"


class BatchCut(BaseModel):
    """Which list and message a batch id stands for, and how many rows a slice has."""

    model_config = ConfigDict(frozen=True)

    v: int = 1
    snapshot: str
    message: str
    slice_size: int


def cut_name(batch_id: str) -> str:
    """Where the cut of a batch is kept."""
    return f"batches/{batch_id}/{CUT}"

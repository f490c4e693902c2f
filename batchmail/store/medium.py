"""What a store lies on: a folder, or a bucket of an object store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """An object as a listing shows it: its whole name, its octets, and when it was written last."""

    name: str
    size: int
    written: datetime


class Medium(Protocol):
    """Keeps named objects. The Store checks names, and makes sentences of failures: a medium raises what it
    meets, OSError or obstore's BaseError, and FileNotFoundError for an object that is not there."""

    def __str__(self) -> str:
        """Where it is, as a person gives it; never with credentials."""
        ...

    def path(self, name: str) -> str:
        """Where a person finds the object."""
        ...

    def why(self, error: Exception) -> str:
        """What `error` means and what to do about it, as a clause. No object's name, no secret."""
        ...

    async def put(self, name: str, content: bytes) -> None:
        """Write it as a whole, durably."""
        ...

    async def put_stream(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Write it durably from pieces, whole or not at all."""
        ...

    async def create(self, name: str, content: bytes) -> bool:
        """Write it durably unless it is there; whether this call did."""
        ...

    async def get(self, name: str) -> bytes:
        """All of it."""
        ...

    async def delete(self, name: str) -> None:
        """Remove it; nothing where it is not there."""
        ...

    async def entries(self, folder: str) -> list[Entry]:
        """All objects below `folder`, in no order."""
        ...

    async def folders(self, folder: str) -> list[str]:
        """The names of the folders in `folder` itself, in no order."""
        ...

    async def tidy(self) -> None:
        """Remove what writers that were killed have left behind."""
        ...

"""Named objects, kept for good: the interface of the store, and its failures as sentences.

What `put`, `put_stream` or `create` has returned for survives the sudden death of the machine. Objects are
only created; the few that are written again are replaced as a whole. Names are relative, separated by '/'.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.exceptions import BaseError

from batchmail.errors import BatchmailError, MissingObjectError, StoreError
from batchmail.locations import StoreLocation
from batchmail.store.bucket import Bucket
from batchmail.store.folder import Folder
from batchmail.store.medium import Entry, Medium


class Store:
    """The objects at one location. Every call raises StoreError where the store is out of reach, refuses, or
    is full; whether a write that raised has taken place is not known then."""

    def __init__(self, location: StoreLocation) -> None:
        self._medium: Medium = Folder(location) if isinstance(location, Path) else Bucket(location)

    def __str__(self) -> str:
        return str(self._medium)

    @property
    def root(self) -> Path:
        """The folder, of a store that is one."""
        return Path(str(self))

    def path(self, name: str) -> str:
        """Where a person finds the object `name`."""
        return self._medium.path(name)

    async def put(self, name: str, content: bytes) -> None:
        """Write `name` as a whole, durably; what was there before is replaced."""
        with self._explained("written", name):
            await self._medium.put(name, content)

    async def put_stream(self, name: str, content: AsyncIterator[bytes]) -> None:
        """Write `name` durably from pieces, so that memory stays bounded; it appears whole or not at all.

        Errors of `content` pass through; what was there before stays then.
        """
        with self._explained("written", name):
            await self._medium.put_stream(name, content)

    async def create(self, name: str, content: bytes) -> bool:
        """Write `name` durably unless it is there; says whether this call made it.

        At most one call is told so, and exactly one unless its answer was lost on the way.
        """
        with self._explained("written", name):
            return await self._medium.create(name, content)

    async def get(self, name: str) -> bytes:
        """The content of `name`. Raises MissingObjectError too."""
        with self._explained("read", name):
            try:
                return await self._medium.get(name)
            except FileNotFoundError:
                raise MissingObjectError(f"The store {self} has no {name}.") from None

    async def find(self, name: str) -> bytes | None:
        """The content of `name`, or None where there is no such object."""
        try:
            return await self.get(name)
        except MissingObjectError:
            return None

    async def delete(self, name: str) -> None:
        """Remove `name`; nothing where it is not there."""
        with self._explained("deleted", name):
            await self._medium.delete(name)

    async def names(self, folder: str) -> list[str]:
        """The names, sorted and relative to `folder`, of all objects below it."""
        return [entry.name.removeprefix(f"{folder}/") for entry in await self.entries(folder)]

    async def entries(self, folder: str) -> list[Entry]:
        """All objects below `folder`, sorted by their names."""
        with self._explained("listed", folder):
            return sorted(await self._medium.entries(folder))

    async def folders(self, folder: str) -> list[str]:
        """The names, sorted, of the folders that lie in `folder` itself."""
        with self._explained("listed", folder):
            return sorted(await self._medium.folders(folder))

    async def tidy(self) -> None:
        """Remove what writers that were killed have left behind, where the store itself does not."""
        with self._explained("tidied", "it"):
            await self._medium.tidy()

    @contextmanager
    def _explained(self, what: str, name: str) -> Iterator[None]:
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise ValueError("a name in the store is made of segments, none of them empty or made of dots")
        try:
            yield
        except BatchmailError:
            raise
        except (OSError, BaseError) as error:
            why = self._medium.why(error)
            raise StoreError(
                f"{name} could not be {what} in the store {self}: {why}.",
                f"the store {self} cannot be used: {why}",
            ) from None

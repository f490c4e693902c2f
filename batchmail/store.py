"""The store: where snapshots, outcome files and reports live.

What `put` or `create` has returned for survives the machine's sudden death: in a folder, file and folders
are fsynced (obstore's LocalStore never does so itself). Objects are never changed, only created; the few
that are written again (`put`) are replaced as a whole. Folders are 0700 and files 0600: they hold addresses.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore

from batchmail.errors import BatchmailError, MissingObjectError, StoreError


class Store:
    """A folder that holds named immutable objects. Names are relative, separated by '/'."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._objects = LocalStore(str(self.root))
        except (OSError, BaseError) as error:
            raise StoreError(
                f"The store {self.root} cannot be used ({_said(error)}): set BATCH_STORE to a folder you own."
            ) from None

    def __str__(self) -> str:
        return str(self.root)

    def path(self, name: str) -> str:
        """Where a person finds the object `name`."""
        return str(self.root / name)

    async def put(self, name: str, content: bytes) -> None:
        """Write `name` as a whole, durably; what was there before is replaced. Raises StoreError."""
        try:
            await obstore.put_async(self._objects, name, content)
            await asyncio.to_thread(self._settle, name)
        except (OSError, BaseError) as error:
            raise self._failed("written", name, error) from None

    async def put_stream(self, name: str, content: AsyncIterator[bytes]) -> None:
        """Write `name` durably from pieces, so that memory stays bounded; it appears whole or not at all.

        Errors of `content` pass through; what was there before stays then. Raises StoreError.
        """
        try:
            await obstore.put_async(self._objects, name, content)
            await asyncio.to_thread(self._settle, name)
        except BatchmailError:
            raise
        except (OSError, BaseError) as error:
            raise self._failed("written", name, error) from None

    async def create(self, name: str, content: bytes) -> bool:
        """Write `name` durably unless it is there; says whether this call made it. Raises StoreError."""
        try:
            await obstore.put_async(self._objects, name, content, mode="create")
            await asyncio.to_thread(self._settle, name)
        except AlreadyExistsError:
            return False
        except (OSError, BaseError) as error:
            raise self._failed("written", name, error) from None
        return True

    async def get(self, name: str) -> bytes:
        """The content of `name`. Raises MissingObjectError, StoreError."""
        try:
            found = await obstore.get_async(self._objects, name)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            raise MissingObjectError(f"The store {self} has no {name}.") from None
        except (OSError, BaseError) as error:
            raise self._failed("read", name, error) from None

    async def find(self, name: str) -> bytes | None:
        """The content of `name`, or None where there is no such object. Raises StoreError."""
        try:
            return await self.get(name)
        except MissingObjectError:
            return None

    async def names(self, folder: str) -> list[str]:
        """The names, sorted and relative to `folder`, of all objects below it. Raises StoreError."""
        prefix = folder.rstrip("/") + "/"
        try:
            found = [entry["path"] async for page in obstore.list(self._objects, prefix) for entry in page]
        except (OSError, BaseError) as error:
            raise self._failed("listed", folder, error) from None
        return sorted(name.removeprefix(prefix) for name in found)

    async def folders(self, folder: str) -> list[str]:
        """The names, sorted, of the folders that lie in `folder` itself. Raises StoreError."""
        prefix = folder.rstrip("/") + "/"
        try:
            found = await obstore.list_with_delimiter_async(self._objects, prefix)
        except (OSError, BaseError) as error:
            raise self._failed("listed", folder, error) from None
        return sorted(name.removeprefix(prefix).rstrip("/") for name in found["common_prefixes"])

    def _settle(self, name: str) -> None:
        """fsync the object and every folder on the way to it; its owner alone may read it."""
        target = self.root / name
        target.chmod(0o600)
        for path in (target, *_folders(target, self.root)):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _failed(self, what: str, name: str, error: Exception) -> StoreError:
        why = _said(error)
        return StoreError(
            f"{name} could not be {what} in the store {self}: {why}.",
            f"the store {self} cannot be used: {why.rpartition(': ')[2]}",
        )


def _folders(target: Path, root: Path) -> Iterable[Path]:
    for folder in target.parents:
        yield folder
        if folder == root:
            return


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip() or type(error).__name__).splitlines()[0]

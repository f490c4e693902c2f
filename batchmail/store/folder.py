"""A store in a folder: every object is a file of its name.

An object is written beside (in `.partial`), fsynced, and only then gets its name: after a crash it is there
whole, or not at all. Folders are 0700 and files 0600 from the first: they hold addresses.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedWriter
from pathlib import Path

from batchmail.errors import StoreError
from batchmail.store.medium import Entry

PARTIAL = ".partial"

ABANDONED = 86_400.0
"""Seconds after which a file that is still partial has lost its writer."""

_TRIES = 5

_REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "let this user read and write there",
    errno.EPERM: "let this user read and write there",
}


class Folder:
    """The objects in one folder of this machine, or of a file system that machines share.

    That file system needs hard links, by which exactly one of many creators wins.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The store {self.root} cannot be used ({error.strerror}): "
                "set BATCH_STORE to a folder you own."
            ) from None

    def __str__(self) -> str:
        return str(self.root)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def why(self, error: Exception) -> str:
        said = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        remedy = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
        return f"{said}: {remedy}" if remedy else said

    async def put(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._write, name, content, replace=True)

    async def create(self, name: str, content: bytes) -> bool:
        return await asyncio.to_thread(self._write, name, content, replace=False)

    async def put_stream(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        await self.tidy()
        partial = await asyncio.to_thread(self._begin)
        try:
            with partial.open("ab") as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                await asyncio.to_thread(_settle, file)
            await asyncio.to_thread(self._place, partial, name, replace=True)
        finally:
            partial.unlink(missing_ok=True)

    async def get(self, name: str) -> bytes:
        return await asyncio.to_thread(self._read, name)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(self._delete, name)

    async def entries(self, folder: str) -> list[Entry]:
        return await asyncio.to_thread(lambda: list(self._walk(folder)))

    async def folders(self, folder: str) -> list[str]:
        return await asyncio.to_thread(self._folders, folder)

    async def tidy(self) -> None:
        await asyncio.to_thread(self._tidy)

    # In a thread

    def _write(self, name: str, content: bytes, *, replace: bool) -> bool:
        if not replace and (self.root / name).exists():
            return False
        partial = self._begin()
        try:
            with partial.open("ab") as file:
                file.write(content)
                _settle(file)
            return self._place(partial, name, replace=replace)
        finally:
            partial.unlink(missing_ok=True)

    def _begin(self) -> Path:
        folder = self.root / PARTIAL
        partial = folder / secrets.token_hex(12)
        for _ in range(_TRIES):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                break
        return partial

    def _place(self, partial: Path, name: str, *, replace: bool) -> bool:
        """Give it its name, durably; False where the name is taken and not to be replaced."""
        target = self.root / name
        for tries_left in reversed(range(_TRIES)):
            self._make_folders(target.parent)
            try:
                if replace:
                    partial.rename(target)
                else:
                    target.hardlink_to(partial)
                break
            except FileExistsError:
                if replace:
                    raise
                return False
            except FileNotFoundError:  # somebody deletes the last object of the folder at this moment
                if not tries_left:
                    raise
        for folder in self._way_up(target):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return True

    def _make_folders(self, folder: Path) -> None:
        if not folder.is_dir():
            if folder != self.root:
                self._make_folders(folder.parent)
            with suppress(FileNotFoundError):  # deleted again: the caller tries again
                folder.mkdir(mode=0o700, exist_ok=True)

    def _way_up(self, target: Path) -> Iterator[Path]:
        """Every folder that `target` lies in, up to the root."""
        for folder in target.parents:
            yield folder
            if folder == self.root:
                return

    def _read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except (NotADirectoryError, IsADirectoryError):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None

    def _delete(self, name: str) -> None:
        target = self.root / name
        try:
            target.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        with suppress(OSError):  # the first folder that still holds something
            for folder in self._way_up(target):
                if folder != self.root:
                    folder.rmdir()

    def _walk(self, folder: str) -> Iterator[Entry]:
        for at, _, files in os.walk(self.root / folder, onerror=_unless_gone):
            for file in files:
                path = Path(at, file)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    written = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield Entry(path.relative_to(self.root).as_posix(), found.st_size, written)

    def _folders(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.root / folder) as found:
                return [entry.name for entry in found if entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _tidy(self) -> None:
        oldest = time.time() - ABANDONED
        for entry in self._walk(PARTIAL):
            if entry.written.timestamp() < oldest:
                (self.root / entry.name).unlink(missing_ok=True)


def _settle(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error

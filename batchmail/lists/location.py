"""Where a list or a message lies: a path, or a file:// URL."""

from __future__ import annotations

from pathlib import Path

from batchmail.errors import ListError
from batchmail.locations import path_meant


def local_path(location: str, what: str = "list") -> Path:
    """The path that `location` means; `what` lies there, for errors.

    Raises ListError for a URL of another kind, one that names another host, and what can be no path.
    """
    path = path_meant(location)
    if path is None:
        raise ListError(
            f"The {what} {location!r} cannot be read: give a path, or a file:// URL of this machine."
        )
    return Path(path)

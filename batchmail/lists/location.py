"""Where a list or a message lies: a path, or a file:// URL."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchmail.errors import ListError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def local_path(location: str, what: str = "list") -> Path:
    """The path that `location` means (RFC 8089 for file:// URLs); `what` lies there, for errors.

    Raises ListError for a URL of another kind, one that names another host, and what can be no path.
    """
    path = location if _URL.match(location) is None else _path_of_url(location)
    if path is None or "\0" in path:
        raise ListError(
            f"The {what} {location!r} cannot be read: give a path, or a file:// URL of this machine."
        )
    return Path(path)


def _path_of_url(location: str) -> str | None:
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    here = parts.scheme.lower() == "file" and parts.netloc.lower() in ("", "localhost")
    return unquote(parts.path) if here else None

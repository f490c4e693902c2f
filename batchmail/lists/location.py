"""Where a list lies: a path, or a file:// URL."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batchmail.errors import ListError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def list_path(location: str) -> Path:
    """The path that `location` means (RFC 8089 for file:// URLs).

    Raises ListError for a URL of another kind, or one that names another host.
    """
    if _URL.match(location) is None:
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme.lower() != "file" or parts.netloc.lower() not in ("", "localhost"):
        raise ListError(f"The list {location} cannot be read: give a path, or a file:// URL of this machine.")
    return Path(unquote(parts.path))

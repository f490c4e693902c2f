"""What a person means by a location: a path, or a file:// URL of this machine (RFC 8089)."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def path_meant(location: str) -> str | None:
    """The path that `location` means; None for a URL of another kind, one that names another host, and what
    can be no path."""
    path = location if _URL.match(location) is None else _path_of_url(location)
    return None if path is None or "\0" in path else path


def _path_of_url(location: str) -> str | None:
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    here = parts.scheme.lower() == "file" and parts.netloc.lower() in ("", "localhost")
    return unquote(parts.path) if here else None

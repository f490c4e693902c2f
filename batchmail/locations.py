"""What a person means by a location: a path, a file:// URL of this machine (RFC 8089), or a bucket's URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

_BUCKET = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(.*))?", re.DOTALL)


class BucketUrl(NamedTuple):
    """A place in an object store; written s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."""

    scheme: str
    bucket: str
    prefix: str = ""
    """Without slashes around it; taken literally, never percent-decoded."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


StoreLocation = Path | BucketUrl


def store_meant(location: str) -> StoreLocation:
    """Where the store is that `location` means. Raises ValueError, which never repeats a secret."""
    if (path := path_meant(location)) is not None:
        return Path(path)
    if may_hold_secret(location):
        raise ValueError(
            "an object store's address holds no credentials and no query: give them by the cloud's own "
            "variables, such as AWS_ACCESS_KEY_ID"
        )
    found = _BUCKET.fullmatch(location)
    prefix = (found[3] or "").strip("/") if found else ""
    if found is None or any(part in ("", ".", "..") for part in prefix.split("/") if prefix):
        raise ValueError("give a folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")
    return BucketUrl(found[1], found[2], prefix)


def may_hold_secret(location: str) -> bool:
    """Whether this is a URL with a user, a password or a query in it: nothing to be shown."""
    return _URL.match(location) is not None and any(mark in location for mark in "@?#")


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

"""A store in a bucket of an object store: Amazon S3 and what speaks like it, Google Cloud Storage, Azure.

Credentials, region and endpoint come from the cloud's own environment variables, and from `.env`. An object
appears whole or not at all, and a write is answered when it is durable: that is what object stores promise.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from dotenv import dotenv_values
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import AzureStore, GCSStore, S3Store

from batchmail.errors import StoreError
from batchmail.locations import BucketUrl
from batchmail.settings import DOTENV, is_loopback
from batchmail.store.cloud_errors import is_without_bucket, meaning
from batchmail.store.medium import Entry

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")

# Who waits for the store tries again himself, and says so: here it must fail soon.
_CONNECT = timedelta(seconds=3)
_SILENCE = timedelta(seconds=10)
_WHOLE = timedelta(seconds=60)
_RETRY: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=4),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
}

_MISSING = (FileNotFoundError, NotFoundError)

_LARGE = 256 * 1024
"""Octets from which an upload may take a minute: nothing is heard until the last of them has gone."""

_PIECE = 5 * 1024 * 1024
"""Octets a part of an upload in pieces: the least that S3 takes."""

_PIECES_AT_ONCE = 2


class Bucket:
    """The objects below one prefix of a bucket."""

    def __init__(self, url: BucketUrl) -> None:
        self._url = url
        _take_variables_of_dotenv()
        try:
            self._objects = _opened(url, {"timeout": _WHOLE, "read_timeout": _SILENCE})
            self._large = _opened(url, {"timeout": _WHOLE})
        except BaseError as error:
            raise StoreError(f"The store {url} cannot be used: {meaning(error, url.scheme)}.") from None

    def __str__(self) -> str:
        return str(self._url)

    def path(self, name: str) -> str:
        return f"{self._url}/{name}"

    def why(self, error: Exception) -> str:
        return meaning(error, self._url.scheme)

    async def put(self, name: str, content: bytes) -> None:
        objects = self._large if len(content) > _LARGE else self._objects
        await obstore.put_async(objects, name, content, use_multipart=False)

    async def put_stream(self, name: str, pieces: AsyncIterator[bytes]) -> None:
        await obstore.put_async(self._large, name, pieces, chunk_size=_PIECE, max_concurrency=_PIECES_AT_ONCE)

    async def create(self, name: str, content: bytes) -> bool:
        try:
            await obstore.put_async(self._objects, name, content, mode="create")
        except AlreadyExistsError:
            return False
        return True

    async def get(self, name: str) -> bytes:
        try:
            found = await obstore.get_async(self._objects, name)
            return bytes(await found.bytes_async())
        except _MISSING as error:
            # Without this an address mistyped would look like a store that is new.
            kind = OSError if is_without_bucket(error) else FileNotFoundError
            raise kind(str(error)) from None

    async def delete(self, name: str) -> None:
        try:
            await obstore.delete_async(self._objects, name)
        except _MISSING as error:
            if is_without_bucket(error):
                raise

    async def entries(self, folder: str) -> list[Entry]:
        return [
            Entry(found["path"], found["size"], found["last_modified"])
            async for page in obstore.list(self._objects, f"{folder}/")
            for found in page
        ]

    async def folders(self, folder: str) -> list[str]:
        found = await obstore.list_with_delimiter_async(self._objects, f"{folder}/")
        return [name.removeprefix(f"{folder}/").rstrip("/") for name in found["common_prefixes"]]

    async def tidy(self) -> None:
        """Uploads that were never finished are the bucket's own to expire (a rule of its life cycle)."""


def _opened(url: BucketUrl, client: ClientConfig) -> S3Store | GCSStore | AzureStore:
    client["connect_timeout"] = _CONNECT
    client["allow_http"] = _may_go_without_tls()
    prefix = url.prefix or None
    if url.scheme == "s3":
        return S3Store(url.bucket, prefix=prefix, client_options=client, retry_config=_RETRY)
    if url.scheme == "gs":
        return GCSStore(url.bucket, prefix=prefix, client_options=client, retry_config=_RETRY)
    return AzureStore(url.bucket, prefix=prefix, client_options=client, retry_config=_RETRY)


def _may_go_without_tls() -> bool:
    """Where a person has said so, and to this machine itself: nobody else hears that."""
    if os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"):
        return True
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    return is_loopback(urlsplit(endpoint).hostname or "")


def _take_variables_of_dotenv() -> None:
    """The clouds' variables in `.env`, where the environment itself has none: obstore reads no files."""
    for name, value in dotenv_values(DOTENV).items():
        if value and name.startswith(_VARIABLES):
            os.environ.setdefault(name, value)

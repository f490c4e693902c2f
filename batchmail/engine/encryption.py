"""Encrypt what Temporal is given to keep, for those who want nothing readable in its database.

Without it no recipient, field or message text is there either, but names of lists, places in the store,
admins' addresses and counts are. With BATCH_ENCRYPTION_KEYS every payload and every failure's text goes
through AES-256-GCM (NIST SP 800-38D): the first key encrypts, all of them decrypt. What was written before
there were keys is read as it is.

A payload's metadata: encoding `binary/encrypted`, encryption-cipher `AES-256-GCM`, encryption-key-id. Its
data: 12 octets of nonce, then the whole payload as protobuf, encrypted, then 16 octets of tag. The associated
data are the three values of the metadata in this order, with a NUL between two.

Edges: workflow ids, types, task queues and search attributes are no payloads and stay readable. Nonces are
random, so a key is good for 2^32 payloads (section 8.3), some 10^11 recipients. A payload is bound to its
key's id, not to its workflow: whoever can write to the database can still swap two payloads.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec

from batchmail.engine.failures import DiscreetFailures, SealedFailures
from batchmail.errors import EncryptionError, SettingsError

Keys = Mapping[str, AESGCM]
"""By their ids, in order: the first one encrypts."""

_ENCODING = b"binary/encrypted"
_CIPHER = b"AES-256-GCM"
_KEY_OCTETS = 32
_NONCE_OCTETS = 12

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOW = "give id:key, with an id of letters, digits, '.', '_' or '-' and a key from `openssl rand -base64 32`"


def read_keys(text: str) -> Keys:
    """The keys of `id:key[,id:key…]`, parted by commas or lines; none of an empty text.

    Raises SettingsError, which names an entry by its number or its id, never by its key.
    """
    found: dict[str, AESGCM] = {}
    for number, entry in enumerate(re.split(r"[,\s]+", text.strip(", \t\r\n")) if text.strip() else (), 1):
        key_id, colon, encoded = entry.partition(":")
        if not colon or not _ID.fullmatch(key_id):
            raise SettingsError(f"BATCH_ENCRYPTION_KEYS: entry {number} is no id:key: {_HOW}.")
        if key_id in found:
            raise SettingsError(f"BATCH_ENCRYPTION_KEYS: two keys have the id {key_id}: give each its own.")
        found[key_id] = AESGCM(_octets(key_id, encoded))
    return found


def _octets(key_id: str, encoded: str) -> bytes:
    try:
        octets = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise SettingsError(f"BATCH_ENCRYPTION_KEYS: the key {key_id} is not in base64: {_HOW}.") from None
    if len(octets) != _KEY_OCTETS:
        raise SettingsError(
            f"BATCH_ENCRYPTION_KEYS: the key {key_id} has {len(octets)} octets where AES-256 takes "
            f"{_KEY_OCTETS}: {_HOW}."
        )
    return octets


def data_converter(keys: Keys) -> DataConverter:
    """What clients, workers and a Replayer turn values into payloads by, and back."""
    return replace(
        pydantic_data_converter,
        payload_codec=Encryption(keys),
        failure_converter_class=SealedFailures if keys else DiscreetFailures,
    )


class Encryption(PayloadCodec):
    """Payloads in and out of their envelopes; without keys they are left as they are.

    Decoding raises EncryptionError for an envelope that none of the keys opens. Inside a worker that fails
    the task, which Temporal gives out again: the batch waits for a worker that has the key.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._current = next(iter(keys), None)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload, its metadata included, encrypted with the first key."""
        if self._current is None:
            return list(payloads)
        key_id = self._current.encode()
        return [_closed(payload, key_id, self._keys[self._current]) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads within; what is in no envelope of ours is passed on."""
        return [self._opened(payload) for payload in payloads]

    def _opened(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCODING:
            return payload
        key_id = payload.metadata.get("encryption-key-id", b"")
        name = key_id.decode("ascii", "backslashreplace")
        key = self._keys.get(name)
        if key is None:
            raise EncryptionError(
                f"Temporal holds payloads encrypted with the key {name!r}, which is not here: add it to "
                "BATCH_ENCRYPTION_KEYS, behind the key that is to encrypt."
            )
        nonce, sealed = payload.data[:_NONCE_OCTETS], payload.data[_NONCE_OCTETS:]
        try:
            return Payload.FromString(key.decrypt(nonce, sealed, _bound(key_id)))
        except (InvalidTag, ValueError):
            raise EncryptionError(
                f"A payload encrypted with the key {name!r} cannot be read: BATCH_ENCRYPTION_KEYS has "
                "another key of this id, or the payload was changed on its way."
            ) from None


def _closed(payload: Payload, key_id: bytes, key: AESGCM) -> Payload:
    nonce = os.urandom(_NONCE_OCTETS)
    sealed = key.encrypt(nonce, payload.SerializeToString(), _bound(key_id))
    metadata = {"encoding": _ENCODING, "encryption-cipher": _CIPHER, "encryption-key-id": key_id}
    return Payload(metadata=metadata, data=nonce + sealed)


def _bound(key_id: bytes) -> bytes:
    """The associated data: the envelope's metadata."""
    return b"\0".join((_ENCODING, _CIPHER, key_id))

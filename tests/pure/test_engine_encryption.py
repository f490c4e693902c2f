"""Payloads in and out of their envelopes, and keys that change."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadCodec
from temporalio.exceptions import ApplicationError

from batchmail.engine.encryption import Encryption, data_converter, read_keys
from batchmail.errors import EncryptionError, SettingsError

OLD = f"old:{base64.b64encode(bytes(range(32))).decode()}"
NEW = f"new:{base64.b64encode(bytes(range(100, 132))).decode()}"
NOTE = Payload(metadata={"encoding": b"json/plain", "kind": b"note"}, data=b"mark-me")

octets = st.binary(max_size=100)
payloads = st.builds(Payload, metadata=st.dictionaries(st.text(max_size=10), octets, max_size=3), data=octets)


def codec(*keys: str) -> PayloadCodec:
    return Encryption(read_keys(",".join(keys)))


@given(st.lists(payloads, max_size=3))
async def test_what_was_encrypted_comes_back_whole(given: list[Payload]) -> None:
    assert await codec(NEW).decode(await codec(NEW).encode(given)) == given


async def test_nothing_of_a_payload_is_readable_from_outside() -> None:
    (closed,) = await codec(NEW).encode([NOTE])
    assert b"mark-me" not in closed.SerializeToString()
    assert b"note" not in closed.SerializeToString()
    assert dict(closed.metadata) == {
        "encoding": b"binary/encrypted",
        "encryption-cipher": b"AES-256-GCM",
        "encryption-key-id": b"new",
    }


async def test_the_same_payload_never_looks_the_same() -> None:
    one, other = await codec(NEW).encode([NOTE, NOTE])
    assert one.data[:12] != other.data[:12]
    assert one.data[12:] != other.data[12:]


async def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before = await codec(OLD).encode([NOTE])
    after = await codec(NEW, OLD).encode([NOTE])
    assert after[0].metadata["encryption-key-id"] == b"new"
    assert await codec(NEW, OLD).decode([*before, *after]) == [NOTE, NOTE]


async def test_what_was_never_encrypted_is_read_as_it_is() -> None:
    assert await codec(NEW).decode([NOTE]) == [NOTE]


async def test_without_keys_nothing_changes() -> None:
    assert await codec().encode([NOTE]) == [NOTE]
    assert await codec().decode([NOTE]) == [NOTE]


@pytest.mark.parametrize("keys", [(), (NEW,)])
async def test_a_missing_key_is_named(keys: tuple[str, ...]) -> None:
    closed = await codec(OLD).encode([NOTE])
    with pytest.raises(EncryptionError, match=r"with the key 'old', which is not here: add it to BATCH_ENC"):
        await codec(*keys).decode(closed)


async def test_another_key_under_the_same_id_is_told_apart() -> None:
    closed = await codec(OLD).encode([NOTE])
    with pytest.raises(EncryptionError, match="has another key of this id") as caught:
        await codec(NEW.replace("new", "old")).decode(closed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0, 5, 12, 20, -1])
async def test_a_changed_octet_is_noticed(place: int) -> None:
    (closed,) = await codec(NEW).encode([NOTE])
    changed = bytearray(closed.data)
    changed[place] ^= 1
    closed.data = bytes(changed)
    with pytest.raises(EncryptionError):
        await codec(NEW).decode([closed])


@pytest.mark.parametrize("data", [b"", b"short", b"twelve octet"])
async def test_a_payload_cut_short_is_noticed(data: bytes) -> None:
    (closed,) = await codec(NEW).encode([NOTE])
    closed.data = data
    with pytest.raises(EncryptionError):
        await codec(NEW).decode([closed])


async def test_an_envelope_is_bound_to_its_keys_id() -> None:
    """The same key under a second name opens nothing: what is outside is part of what is sealed."""
    (closed,) = await codec(NEW).encode([NOTE])
    closed.metadata["encryption-key-id"] = b"other"
    with pytest.raises(EncryptionError):
        await codec(NEW, NEW.replace("new", "other")).decode([closed])


@pytest.mark.parametrize(
    "text",
    [f"{NEW},{OLD}", f"{NEW}\n{OLD}\n", f" {NEW} , {OLD},"],
)
def test_keys_are_parted_by_commas_or_lines(text: str) -> None:
    assert list(read_keys(text)) == ["new", "old"]


def test_there_may_be_no_keys() -> None:
    assert not read_keys(" \n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mark-me", "entry 1 is no id:key: give id:key"),
        (f"{NEW},:mark-me", "entry 2 is no id:key"),
        ("a b:mark-me", "entry 1 is no id:key"),
        ("n:mark-me", "the key n is not in base64"),
        ("n:bWFyay1tZQ==", "the key n has 7 octets where AES-256 takes 32"),
        (f"{NEW},{NEW}", "two keys have the id new"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_and_not_shown(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_keys(text)
    assert str(caught.value).startswith(f"BATCH_ENCRYPTION_KEYS: {sentence}")
    assert "mark-me" not in str(caught.value)
    assert NEW[4:] not in str(caught.value)


@pytest.mark.parametrize(("keys", "shown"), [(NEW, False), ("", True)])
async def test_a_failures_text_is_encrypted_too(keys: str, shown: bool) -> None:
    converter = data_converter(read_keys(keys))
    failure = Failure()
    try:
        raise ApplicationError("mark-me")
    except ApplicationError as error:
        await converter.encode_failure(error, failure)
    assert (b"mark-me" in failure.SerializeToString()) == shown
    assert (b"test_engine_encryption" in failure.SerializeToString()) == shown
    back = await data_converter(read_keys(f"{NEW},{OLD}")).decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert back.message == "mark-me"

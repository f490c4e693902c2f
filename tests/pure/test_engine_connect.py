"""Connecting to Temporal where it cannot be: one sentence each, in bounded time, without secrets."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from batchmail.engine import connect as engine_connect
from batchmail.engine.connect import connect
from batchmail.engine.ports import any_free
from batchmail.errors import BatchmailError, EngineError, SettingsError

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@asynccontextmanager
async def listening(answer: Answer, certificate: trustme.LeafCert | None = None) -> AsyncIterator[str]:
    """The address of a server that is not Temporal's."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2"])
        certificate.configure_cert(context)
    open_now: list[asyncio.StreamWriter] = []

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.append(writer)
        answer(reader, writer)

    server = await asyncio.start_server(met, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_now:
            writer.transport.abort()
        await server.wait_closed()


def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept and say nothing."""


def smtp_like(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet like a mail server, and close."""
    writer.write(b"220 mail.example ESMTP\r\n")
    writer.close()


async def said_by_connect(**options: str) -> str:
    with pytest.raises(BatchmailError) as caught:
        await connect(**options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


async def test_where_no_server_listens_the_address_and_the_embedded_server_are_named() -> None:
    address = f"127.0.0.1:{any_free().temporal}"
    with pytest.raises(EngineError, match=rf"^No Temporal server answers at {address}: .*--dev"):
        await connect(address=address)


async def test_the_address_comes_from_temporals_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{any_free().temporal}"
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    assert address in await said_by_connect()


async def test_the_address_comes_from_the_file_env_too_unless_the_environment_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TEMPORAL_ADDRESS=in-file.invalid:7233\nTEMPORAL_TLS=\nSMTP_HOST=h\n")
    assert "in-file.invalid:7233" in await said_by_connect()
    monkeypatch.setenv("TEMPORAL_ADDRESS", "in-environment.invalid:7233")
    assert "in-environment.invalid:7233" in await said_by_connect()


async def test_an_unknown_host_is_named_as_such() -> None:
    assert "The host of the Temporal server nowhere.invalid:7233 is not known" in await said_by_connect(
        address="nowhere.invalid:7233"
    )


async def test_a_silent_server_is_given_up_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_connect, "_TIMEOUT", timedelta(seconds=1))
    async with listening(silent) as address:
        began = time.monotonic()
        assert f"No Temporal server answers at {address} within 1 s" in await said_by_connect(address=address)
        assert time.monotonic() - began < 5


async def test_something_that_is_no_temporal_server_is_told_apart() -> None:
    async with listening(smtp_like) as address:
        assert f"What answers at {address} is no Temporal server" in await said_by_connect(address=address)


async def test_a_certificate_of_an_unknown_issuer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(silent, trustme.CA().issue_cert("127.0.0.1")) as address:
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        monkeypatch.setenv("TEMPORAL_TLS", "true")
        assert "from an issuer that is not trusted" in await said_by_connect()


async def test_a_certificate_for_another_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with listening(silent, authority.issue_cert("other.example")) as address:
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", str(tmp_path / "ca.pem"))
        assert "a certificate for another name" in await said_by_connect()


async def test_a_certificate_that_has_expired_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    async with listening(silent, expired) as address:
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", str(tmp_path / "ca.pem"))
        assert "has a certificate that has expired" in await said_by_connect()


async def test_an_api_key_is_never_sent_in_clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[asyncio.StreamReader] = []
    async with listening(lambda reader, _: met.append(reader)) as address:
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        monkeypatch.setenv("TEMPORAL_API_KEY", "key-of-mine")
        monkeypatch.setenv("TEMPORAL_TLS", "false")
        text = await said_by_connect()
    assert text == "TEMPORAL_API_KEY needs TLS, which TEMPORAL_TLS or the profile switches off."
    assert not met


@pytest.mark.parametrize("key", ["key-of-mine\nkey-of-mine", "key-öf-mine"])
async def test_an_api_key_that_cannot_be_one_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The SDK would go without it, and the server would say that the login is wrong."""
    monkeypatch.setenv("TEMPORAL_API_KEY", key)
    text = await said_by_connect()
    assert text.startswith("TEMPORAL_API_KEY has characters")
    assert "of-mine" not in text


async def test_tls_towards_a_plain_server_is_told_and_the_api_key_stays_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(smtp_like) as address:
        monkeypatch.setenv("TEMPORAL_ADDRESS", address)
        monkeypatch.setenv("TEMPORAL_API_KEY", "key-of-mine")
        text = await said_by_connect()
    assert "does not speak TLS" in text
    assert "key-of-mine" not in text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TEMPORAL_PROFILE", "nope", "Profile 'nope' not found"),
        ("TEMPORAL_ADDRESS", "http://temporal:7233", "without a scheme"),
        ("TEMPORAL_ADDRESS", "a b:7233", "give host:port"),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "/nowhere/ca.pem", "/nowhere/ca.pem, which cannot be read"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"^Temporal|^TEMPORAL_ADDRESS"):
        await connect()
    assert expected in await said_by_connect()


async def test_a_configuration_file_that_does_not_parse_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "temporal.toml").write_text("profile = [")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "temporal.toml"))
    assert "Temporal's configuration cannot be used" in await said_by_connect()


@pytest.mark.parametrize("in_dotenv", [False, True])
async def test_a_configuration_file_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_dotenv: bool
) -> None:
    """The SDK would go without it: to localhost, and without the TLS and the API key it holds."""
    monkeypatch.chdir(tmp_path)
    if in_dotenv:
        monkeypatch.delenv("TEMPORAL_CONFIG_FILE")
        Path(".env").write_text("TEMPORAL_CONFIG_FILE=/nowhere/temporal.toml\n")
    else:
        monkeypatch.setenv("TEMPORAL_CONFIG_FILE", "/nowhere/temporal.toml")
    assert await said_by_connect() == (
        "TEMPORAL_CONFIG_FILE names /nowhere/temporal.toml, which cannot be read: No such file or directory."
    )


async def test_a_profile_that_the_configuration_file_does_not_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "temporal.toml").write_text('[profile.default]\naddress = "127.0.0.1:1"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "temporal.toml"))
    assert "at 127.0.0.1:1" in await said_by_connect()
    monkeypatch.setenv("TEMPORAL_PROFILE", "prod")
    assert "Profile 'prod' not found" in await said_by_connect()


async def test_an_explicit_address_reads_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_PROFILE", "nope")
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    address = f"127.0.0.1:{any_free().temporal}"
    assert f"No Temporal server answers at {address}" in await said_by_connect(address=address)

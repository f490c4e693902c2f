"""A real Temporal server behind TLS: who is let in, who is not, and what each is told. Only Temporal's own
settings are used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest

from batchmail.engine.connect import connect
from batchmail.errors import BatchmailError
from tests.program.bench import Bench
from tests.program.secure_server import SecureServer, ServerFiles, Signer
from tests.relays import Behaviour
from tests.relays.fixtures import StartRelay

CA = "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
CERTIFICATE = "TEMPORAL_TLS_CLIENT_CERT_PATH"
KEY = "TEMPORAL_TLS_CLIENT_KEY_PATH"
ADDRESS = "TEMPORAL_ADDRESS"
API_KEY = "TEMPORAL_API_KEY"


class Own(NamedTuple):
    """A party's certificate and key."""

    certificate: Path
    key: Path


class Files(NamedTuple):
    """What is in the hands of whom."""

    authority: Path
    foreign_authority: Path
    server: Own
    client: Own
    foreign_client: Own
    expired_client: Own

    def settings(self, own: Own | None = None) -> dict[str, str]:
        """Trust the authority, and show one's own certificate."""
        shown = {} if own is None else {CERTIFICATE: str(own.certificate), KEY: str(own.key)}
        return {CA: str(self.authority), **shown}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("temporal-tls")
    authority, foreign = trustme.CA(), trustme.CA()

    def own(name: str, issued: trustme.LeafCert) -> Own:
        found = Own(folder / f"{name}.pem", folder / f"{name}-key.pem")
        issued.cert_chain_pems[0].write_to_path(found.certificate)
        issued.private_key_pem.write_to_path(found.key)
        return found

    def trusted(name: str, of: trustme.CA) -> Path:
        of.cert_pem.write_to_path(folder / name)
        return folder / name

    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert(
        "worker.example", not_before=yesterday - timedelta(days=1), not_after=yesterday
    )
    return Files(
        authority=trusted("authority.pem", authority),
        foreign_authority=trusted("foreign.pem", foreign),
        server=own("server", authority.issue_cert("127.0.0.1")),
        client=own("client", authority.issue_cert("worker.example")),
        foreign_client=own("foreign-client", foreign.issue_cert("worker.example")),
        expired_client=own("expired-client", expired),
    )


@pytest.fixture(scope="module")
def open_server(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """It speaks TLS, with everybody."""
    own = ServerFiles(files.server.certificate, files.server.key, files.authority)
    with SecureServer(tmp_path_factory.mktemp("open"), own) as server:
        yield server


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def guarded_server(
    files: Files, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureServer]:
    """It wants a certificate and an API key."""
    own = ServerFiles(files.server.certificate, files.server.key, files.authority, files.authority)
    with SecureServer(tmp_path_factory.mktemp("guarded"), own, signer) as server:
        yield server


async def said_to(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> str:
    """The one sentence by which a connection with these settings is refused."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BatchmailError) as caught:
        await connect()
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert settings.get(API_KEY, "no key at all") not in text
    return text


NO_NAMESPACE = "has no namespace 'default'"
"""Said by a server that has let us in."""


async def test_a_server_of_ones_own_authority_is_believed(
    open_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NO_NAMESPACE in await said_to(monkeypatch, {ADDRESS: open_server.address, **files.settings()})


async def test_a_server_of_a_foreign_authority_is_not(
    open_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {ADDRESS: open_server.address, CA: str(files.foreign_authority)}
    assert "from an issuer that is not trusted" in await said_to(monkeypatch, settings)


async def test_a_server_under_another_name_is_believed_only_where_that_name_is_set(
    open_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {ADDRESS: f"localhost:{open_server.port}", **files.settings()}
    assert "has a certificate for another name" in await said_to(monkeypatch, settings)
    monkeypatch.setenv("TEMPORAL_TLS_SERVER_NAME", "127.0.0.1")
    assert NO_NAMESPACE in await said_to(monkeypatch, settings)


async def test_who_speaks_no_tls_is_told_that_the_server_may_want_it(
    open_server: SecureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "or wants TLS: check TEMPORAL_ADDRESS and TEMPORAL_TLS" in await said_to(
        monkeypatch, {ADDRESS: open_server.address}
    )


async def test_who_speaks_tls_to_a_server_without_it_is_told(
    temporal_server: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "does not speak TLS, which is switched on" in await said_to(
        monkeypatch, {ADDRESS: temporal_server, **files.settings()}
    )


async def test_who_shows_no_certificate_is_told_that_one_is_wanted(
    guarded_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await said_to(monkeypatch, {ADDRESS: guarded_server.address, **files.settings()})
    assert said == (
        f"The Temporal server at {guarded_server.address} seems to want a certificate from its clients: "
        "check TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH."
    )


@pytest.mark.parametrize("kind", ["foreign_client", "expired_client"])
async def test_who_shows_a_certificate_that_is_not_good_is_told_that_it_is_not_accepted(
    guarded_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    settings = {ADDRESS: guarded_server.address, **files.settings(getattr(files, kind))}
    assert "does not accept this client's certificate" in await said_to(monkeypatch, settings)


@pytest.mark.parametrize("mistake", ["the key of another", "the key for the certificate"])
async def test_a_certificate_and_a_key_that_do_not_belong_together_are_told(
    guarded_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    own = files.client
    wrong = Own(own.key, own.key) if "for" in mistake else Own(own.certificate, files.foreign_client.key)
    settings = {ADDRESS: guarded_server.address, **files.settings(wrong)}
    assert "certificate for Temporal and its key do not belong together" in await said_to(
        monkeypatch, settings
    )


async def test_a_certificate_without_its_key_is_told(
    guarded_server: SecureServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        ADDRESS: guarded_server.address,
        **files.settings(),
        CERTIFICATE: str(files.client.certificate),
    }
    assert "wants certificate and key, or neither" in await said_to(monkeypatch, settings)


async def test_an_api_key_opens_what_it_is_for_and_nothing_else(
    guarded_server: SecureServer, files: Files, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {ADDRESS: guarded_server.address, **files.settings(files.client)}
    assert "does not let this login into namespace 'default'" in await said_to(monkeypatch, settings)
    for key, sentence in (
        ("made-up", "refuses the login: check TEMPORAL_API_KEY or certificates"),
        (signer.api_key("other:write"), "does not let this login into namespace 'default'"),
        (signer.api_key("default:read"), NO_NAMESPACE),
    ):
        assert sentence in await said_to(monkeypatch, {**settings, API_KEY: key})


async def test_a_batch_runs_over_tls_with_a_certificate_and_an_api_key(
    guarded_server: SecureServer,
    files: Files,
    signer: Signer,
    tmp_path: Path,
    start_relay: StartRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key of the namespace alone: what it may not, such as search attributes, is done without."""
    key = signer.api_key("news:write", "news:worker")
    settings = {
        ADDRESS: guarded_server.address,
        "TEMPORAL_NAMESPACE": "news",
        API_KEY: signer.api_key("temporal-system:admin"),
        **files.settings(files.client),
    }
    assert "has no namespace 'news'" in await said_to(monkeypatch, settings)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "temporal-system")
    await (await connect()).workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace="news", workflow_execution_retention_period=Duration(seconds=86_400)
        )
    )
    settings[API_KEY] = key
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bench = Bench(await connect(), guarded_server.address, tmp_path, start_relay(), Behaviour(), "100")
    try:
        worker = await bench.worker()
        result = await (await bench.start(100)).result()
        bench.assert_everyone_once(result)
        assert key not in worker.log()
    finally:
        bench.stop()

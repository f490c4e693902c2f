"""Opening a session: greeting, EHLO, TLS and login, and how each can fail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
import trustme
from pydantic import SecretStr

from batchmail.batch.outcomes import Cause, Follows, Stage
from batchmail.errors import OutOfReachError, RelayFaultError
from batchmail.relay import connect
from batchmail.relay.connect import open_session, trust, try_relay
from batchmail.relay.faults import UnusableRelayError
from batchmail.relay.stages import STAGES, StageFacts, Stages
from batchmail.settings import Relay, Tls
from tests.relays import Behaviour, Fault, RelayProcess
from tests.relays.fixtures import ON_BOTH_LOOPS, Certificates, StartRelay
from tests.relays.talk import Talk, relay_of, session_with

LOGIN = ("news", "a secret word")
LOGGED_IN: dict[str, Any] = {"username": LOGIN[0], "password": SecretStr(LOGIN[1])}


pytestmark = ON_BOTH_LOOPS  # the hand-over of the transport is theirs


@pytest.fixture
def believed(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificates]:
    """The system trusts the tests' authority, as SSL_CERT_FILE tells it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    trust.cache_clear()
    yield certificates
    trust.cache_clear()


def hurried(*stages: Stage) -> Stages:
    """The stages, these given no time at all."""
    return {**STAGES, **{stage: StageFacts(timedelta(seconds=0.1), "") for stage in stages}}


def secured(certificates: Certificates, fault: Fault, tls: Tls = Tls.STARTTLS) -> Behaviour:
    """A relay that wants TLS and login, and errs so."""
    return Behaviour(tls=tls.value, certificate=str(certificates.server), login=LOGIN, faults=(fault,))


async def fault_of(relay: Relay, stages: Stages = STAGES) -> UnusableRelayError:
    """How opening fails, both for a slice and for the starter's check."""
    with pytest.raises(RelayFaultError) as caught:
        await open_session(relay, Talk(), stages)
    with pytest.raises(RelayFaultError) as tried:
        await try_relay(relay, stages)
    assert isinstance(caught.value, UnusableRelayError)
    assert str(tried.value) == str(caught.value)
    assert str(relay) in str(caught.value)
    assert LOGIN[1] not in str(caught.value)
    assert LOGIN[0] not in str(caught.value)
    assert isinstance(caught.value, OutOfReachError)
    return caught.value


async def sends(relay: RelayProcess, tls: Tls, **login: Any) -> None:
    """A mail goes through, and the session knows what was offered after TLS."""
    talk = Talk()
    async with session_with(relay, talk, tls=tls, **login) as session:
        assert session.pipelining
        assert (await talk.mail(session)).follows is Follows.SENT
        assert (await talk.mail(session, "bob@example.com")).follows is Follows.SENT
        session.quit()
        await relay.wait_for(lambda event: event.event == "quit")
    assert [line.recipient for line in relay.record()] == ["ann@example.com", "bob@example.com"]


async def test_a_session_opens_in_clear_text_on_this_machine(start_relay: StartRelay) -> None:
    relay = start_relay()
    await sends(relay, Tls.NONE)
    (hello,) = [event.address for event in relay.events() if event.event == "ehlo"]
    assert hello == "[127.0.0.1]"


async def test_a_session_opens_with_starttls_and_login(
    start_relay: StartRelay, believed: Certificates
) -> None:
    relay = start_relay(Behaviour(tls="starttls", certificate=str(believed.server), login=LOGIN))
    await sends(relay, Tls.STARTTLS, **LOGGED_IN)


async def test_a_session_opens_with_implicit_tls(start_relay: StartRelay, believed: Certificates) -> None:
    relay = start_relay(Behaviour(tls="implicit", certificate=str(believed.server)))
    await sends(relay, Tls.IMPLICIT)


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
async def test_a_large_body_arrives_whole_over_tls(
    start_relay: StartRelay, believed: Certificates, tmp_path: Path, kind: Any
) -> None:
    relay = start_relay(Behaviour(tls=kind, certificate=str(believed.server), messages=str(tmp_path)))
    talk = Talk()
    body = b"".join(b"%09d\r\n" % i for i in range(300_000))
    async with session_with(relay, talk, tls=Tls(kind)) as session:
        assert (await talk.mail(session, body=body)).follows is Follows.SENT
    kept = Path(relay.record()[0].file).read_bytes()
    assert kept.endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("stage", ["rcpt", "recorded"])
async def test_a_connection_cut_under_tls_is_told(
    start_relay: StartRelay, believed: Certificates, stage: Any
) -> None:
    faults = (Fault(stage=stage, do="drop"),)
    relay = start_relay(Behaviour(tls="implicit", certificate=str(believed.server), faults=faults))
    talk = Talk()
    async with session_with(relay, talk, tls=Tls.IMPLICIT) as session:
        found = (await talk.mail(session)).follows
        assert found is (Follows.PENDING if stage == "rcpt" else Follows.IN_DOUBT)
        assert not session.usable


@pytest.mark.parametrize(
    "mechanisms", [("PLAIN",), ("LOGIN",), ("CRAM-MD5",), ("GSSAPI", "LOGIN", "PLAIN"), ("NTLM", "CRAM-MD5")]
)
async def test_a_login_goes_by_what_the_relay_offers(
    start_relay: StartRelay, mechanisms: tuple[str, ...]
) -> None:
    relay = start_relay(Behaviour(login=LOGIN, mechanisms=mechanisms))
    await sends(relay, Tls.NONE, **LOGGED_IN)


async def test_a_mechanism_the_relay_does_not_know_after_all_is_passed_over(start_relay: StartRelay) -> None:
    refused = Fault(stage="auth", reply="504 5.5.4 Not that one", times=1)
    relay = start_relay(Behaviour(login=LOGIN, faults=(refused,)))
    await sends(relay, Tls.NONE, **LOGGED_IN)


async def test_a_login_that_cannot_be_checked_at_present_is_not_called_wrong(start_relay: StartRelay) -> None:
    later = Fault(stage="auth", reply="454 4.7.0 Temporary authentication failure")
    fault = await fault_of(relay_of(start_relay(Behaviour(login=LOGIN, faults=(later,))), **LOGGED_IN))
    assert "it cannot check the login at present (454 4.7.0)" in str(fault)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_a_wrong_login_is_a_fault_of_the_relay(start_relay: StartRelay, mechanism: str) -> None:
    relay = start_relay(Behaviour(login=("news", "another word"), mechanisms=(mechanism,)))
    fault = await fault_of(relay_of(relay, **LOGGED_IN))
    assert fault.cause == Cause(Stage.AUTH, 535, "5.7.8")
    assert "it refused the login (535 5.7.8); check SMTP_USERNAME and SMTP_PASSWORD" in str(fault)
    assert (
        sum(event.event == "auth" for event in relay.events()) == 2
    )  # once a connection: accounts get locked


async def test_no_login_offered_is_a_fault_of_the_relay(start_relay: StartRelay) -> None:
    fault = await fault_of(relay_of(start_relay(), **LOGGED_IN))
    assert fault.cause == Cause(Stage.AUTH)
    assert "it offers no login" in str(fault)


async def test_a_relay_that_strips_starttls_gets_neither_login_nor_mail(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(login=LOGIN))
    fault = await fault_of(relay_of(relay, Tls.STARTTLS, **LOGGED_IN))
    assert fault.cause == Cause(Stage.STARTTLS)
    assert "does not offer STARTTLS" in str(fault)
    assert not any(event.event == "auth" for event in relay.events())


@pytest.mark.parametrize("reply", ["454 4.7.0 TLS is not available", "502 5.5.1 What?", "250 2.0.0 Not now"])
async def test_a_relay_that_offers_starttls_and_refuses_it_gets_neither_login_nor_mail(
    start_relay: StartRelay, believed: Certificates, reply: str
) -> None:
    refusing = Fault(stage="starttls", reply=reply)
    relay = start_relay(
        Behaviour(tls="starttls", certificate=str(believed.server), login=LOGIN, faults=(refusing,))
    )
    fault = await fault_of(relay_of(relay, Tls.STARTTLS, **LOGGED_IN))
    assert fault.cause.stage is Stage.STARTTLS
    assert not any(event.event in {"auth", "mail"} for event in relay.events())


async def test_what_was_said_before_the_handshake_is_forgotten_after_it(
    start_relay: StartRelay, believed: Certificates
) -> None:
    """Somebody on the way can add answers in clear text behind the 220 (the kind of CVE-2011-0411)."""
    added = "220 2.0.0 Go ahead\r\n250-evil.example\r\n250 AUTH LOGIN"
    faults = (Fault(stage="starttls", reply=added),)
    relay = start_relay(
        Behaviour(
            tls="starttls",
            certificate=str(believed.server),
            login=LOGIN,
            mechanisms=("PLAIN",),
            faults=faults,
        )
    )
    await sends(relay, Tls.STARTTLS, **LOGGED_IN)


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
async def test_a_certificate_that_has_expired_is_not_believed(
    start_relay: StartRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("127.0.0.1", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    expired.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    trust.cache_clear()
    relay = start_relay(Behaviour(tls=kind, certificate=str(tmp_path / "server.pem"), login=LOGIN))
    fault = await fault_of(relay_of(relay, Tls(kind), **LOGGED_IN))
    trust.cache_clear()
    assert "(certificate has expired)" in str(fault)
    assert not any(event.event == "auth" for event in relay.events())


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
async def test_an_unknown_authority_is_not_believed(
    start_relay: StartRelay, certificates: Certificates, kind: Any
) -> None:
    relay = start_relay(Behaviour(tls=kind, certificate=str(certificates.server), login=LOGIN))
    fault = await fault_of(relay_of(relay, Tls(kind), **LOGGED_IN))
    assert fault.cause == Cause(Stage.STARTTLS)
    assert "its certificate does not prove that it is 127.0.0.1" in str(fault)
    assert not any(event.event == "auth" for event in relay.events())


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
async def test_a_certificate_that_has_signed_itself_is_not_believed(
    start_relay: StartRelay, tmp_path: Path, kind: Any
) -> None:
    itself = trustme.CA()
    chain = itself.private_key_pem.bytes() + itself.cert_pem.bytes()
    (tmp_path / "server.pem").write_bytes(chain)
    relay = start_relay(Behaviour(tls=kind, certificate=str(tmp_path / "server.pem"), login=LOGIN))
    fault = await fault_of(relay_of(relay, Tls(kind), **LOGGED_IN))
    assert "(self-signed certificate)" in str(fault)
    assert not any(event.event == "auth" for event in relay.events())


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
async def test_a_certificate_for_another_name_is_not_believed(
    start_relay: StartRelay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("mail.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    trust.cache_clear()
    relay = start_relay(Behaviour(tls=kind, certificate=str(tmp_path / "server.pem")))
    fault = await fault_of(relay_of(relay, Tls(kind)))
    trust.cache_clear()
    assert "its certificate does not prove that it is 127.0.0.1" in str(fault)


async def test_implicit_tls_to_a_relay_in_clear_text_is_explained(start_relay: StartRelay) -> None:
    fault = await fault_of(relay_of(start_relay(), Tls.IMPLICIT))
    assert "SMTP_TLS is implicit" in str(fault)


async def test_a_password_never_leaves_this_machine_in_clear_text(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = start_relay(Behaviour(login=LOGIN))
    monkeypatch.setattr("batchmail.relay.connect.is_loopback", lambda address: False)
    fault = await fault_of(relay_of(relay, **LOGGED_IN))
    assert "the password would travel in clear text" in str(fault)
    assert not any(event.event in {"ehlo", "auth"} for event in relay.events())


@pytest.mark.parametrize(
    ("fault", "cause", "what"),
    [
        (
            Fault(stage="greeting", reply="554 5.7.1 Go away"),
            Cause(Stage.GREETING, 554, "5.7.1"),
            "it answered 554 5.7.1 while waiting for the greeting",
        ),
        (
            Fault(stage="greeting", reply="421 4.3.2 Busy"),
            Cause(Stage.GREETING, 421, "4.3.2"),
            "it answered 421 4.3.2 while waiting for the greeting",
        ),
        (
            Fault(stage="greeting", do="drop"),
            Cause(Stage.GREETING),
            "it closed the connection while waiting for the greeting",
        ),
        (
            Fault(stage="greeting", reply="SSH-2.0-OpenSSH"),
            Cause(Stage.GREETING),
            "it gave an answer that is not SMTP while waiting for the greeting",
        ),
        (
            Fault(stage="ehlo", reply="550 5.7.1 Who?"),
            Cause(Stage.EHLO, 550, "5.7.1"),
            "it answered 550 5.7.1 while sending EHLO",
        ),
        (Fault(stage="ehlo", do="drop"), Cause(Stage.EHLO), "it closed the connection while sending EHLO"),
    ],
)
async def test_a_relay_that_fails_before_the_first_mail_is_at_fault(
    start_relay: StartRelay, fault: Fault, cause: Cause, what: str
) -> None:
    found = await fault_of(relay_of(start_relay(Behaviour(faults=(fault,)))))
    assert found.cause == cause
    assert what in str(found)


@pytest.mark.parametrize(
    ("at", "stage", "what"),
    [
        ("starttls", Stage.STARTTLS, "it closed the connection while starting TLS"),
        ("auth", Stage.AUTH, "it closed the connection while logging in"),
    ],
)
async def test_a_relay_that_drops_before_it_is_secure_and_logged_in_is_at_fault(
    start_relay: StartRelay, believed: Certificates, at: Any, stage: Stage, what: str
) -> None:
    relay = start_relay(secured(believed, Fault(stage=at, do="drop")))
    found = await fault_of(relay_of(relay, Tls.STARTTLS, **LOGGED_IN))
    assert found.cause == Cause(stage)
    assert what in str(found)
    assert not any(event.event == "mail" for event in relay.events())


@pytest.mark.parametrize(
    ("tls", "at", "stage"),
    [
        (Tls.STARTTLS, "starttls", Stage.STARTTLS),
        (Tls.STARTTLS, "auth", Stage.AUTH),
        (Tls.IMPLICIT, "greeting", Stage.GREETING),
    ],
)
async def test_a_relay_that_falls_silent_on_the_way_to_a_secure_login_is_given_up(
    start_relay: StartRelay, believed: Certificates, tls: Tls, at: Any, stage: Stage
) -> None:
    relay = start_relay(secured(believed, Fault(stage=at, do="silence"), tls=tls))
    for _ in range(2):  # the second is given the socket's number again
        found = await fault_of(relay_of(relay, tls, **LOGGED_IN), hurried(stage))
        assert found.cause == Cause(stage)
        assert "it did not answer in time" in str(found)


@pytest.mark.parametrize(
    ("at", "stage"), [("greeting", Stage.GREETING), ("ehlo", Stage.EHLO), ("auth", Stage.AUTH)]
)
async def test_a_relay_that_keeps_silent_is_given_up(start_relay: StartRelay, at: Any, stage: Stage) -> None:
    relay = start_relay(Behaviour(login=LOGIN, faults=(Fault(stage=at, do="silence"),)))
    found = await fault_of(relay_of(relay, **LOGGED_IN), hurried(stage))
    assert found.cause == Cause(stage)
    assert "it did not answer in time" in str(found)


async def test_a_relay_that_closes_about_the_hand_over_is_noticed_before_or_after(
    start_relay: StartRelay,
) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="ehlo", do="leave"),)))
    for _ in range(30):
        talk = Talk()
        with suppress(RelayFaultError):
            await open_session(relay_of(relay), talk)
            await talk.until_gone()


async def test_a_relay_that_has_closed_before_the_hand_over_is_at_fault(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has told aiosmtplib's protocol, and would never tell the session."""
    opened = connect._open

    async def late(relay: Relay, stages: Stages) -> aiosmtplib.SMTP:
        client = await opened(relay, stages)
        async with asyncio.timeout(60):
            while client.is_connected:  # noqa: ASYNC110 - it has no event for this
                await asyncio.sleep(0.001)
        return client

    monkeypatch.setattr(connect, "_open", late)
    relay = start_relay(Behaviour(faults=(Fault(stage="ehlo", do="leave"),)))
    with pytest.raises(RelayFaultError, match="as soon as it was open"):
        await open_session(relay_of(relay), Talk())


async def test_a_relay_that_says_goodbye_with_its_ehlo_is_at_fault(start_relay: StartRelay) -> None:
    ending = Fault(stage="ehlo", reply="250 relay.example\r\n421 4.3.2 Closing")
    relay = start_relay(Behaviour(faults=(ending,)))
    with pytest.raises(RelayFaultError, match="as soon as it was open"):
        await open_session(relay_of(relay), Talk())


async def test_nobody_listening_is_a_fault_of_the_relay() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        relay = Relay(host="127.0.0.1", port=unheard.getsockname()[1], tls=Tls.NONE)
        fault = await fault_of(relay)
    assert fault.cause == Cause(Stage.CONNECT)
    assert "it refused the connection; check SMTP_HOST and SMTP_PORT" in str(fault)


async def test_an_unknown_name_is_a_fault_of_the_relay() -> None:
    fault = await fault_of(Relay(host="no-such-relay.invalid", port=25, tls=Tls.NONE))
    assert fault.cause == Cause(Stage.CONNECT)
    assert "no address is known for the name no-such-relay.invalid; check SMTP_HOST" in str(fault)


@pytest.mark.parametrize("over_limit", ["421", "drop"])
async def test_a_connection_too_many_costs_only_itself(start_relay: StartRelay, over_limit: Any) -> None:
    relay = start_relay(Behaviour(max_connections=1, over_limit=over_limit))
    talk = Talk()
    async with session_with(relay, talk) as session:
        await fault_of(relay_of(relay))
        assert (await talk.mail(session)).follows is Follows.SENT


async def test_a_relay_without_ehlo_is_greeted_with_helo(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="ehlo", reply="502 5.5.1 EHLO?", times=1),)))
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert not session.pipelining
        assert (await talk.mail(session)).follows is Follows.SENT


async def test_the_relay_is_tried_by_one_connection_that_takes_its_leave(start_relay: StartRelay) -> None:
    relay = start_relay()
    await try_relay(relay_of(relay))
    await relay.wait_for(lambda event: event.event == "closed")
    assert [event.event for event in relay.events()] == ["connected", "greeting", "ehlo", "quit", "closed"]


async def test_an_opening_called_off_leaves_no_connection(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="ehlo", do="silence"),)))
    opening = asyncio.create_task(open_session(relay_of(relay), Talk()))
    await relay.wait_for(lambda event: event.event == "ehlo")
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await relay.wait_for(lambda event: event.event == "closed")

"""A relay's faults are nobody's: the batch says what it waits for and since when, and goes on by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pytest
import trustme

from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Progress
from tests.program.bench import DEATHS_NOTICED, Bench, Handle, waiting
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import Certificates

RECIPIENTS = 60
LOGIN = ("news", "the right word")


class Trouble(NamedTuple):
    """How the relay is at fault, until it is mended. `said`: what the batch waits for, in part."""

    broken: Behaviour
    said: str
    mended: Behaviour = Behaviour()


def refusing(stage: str, reply: str) -> Behaviour:
    return Behaviour(faults=(Fault(stage=stage, reply=reply),))  # type: ignore[arg-type]


TROUBLES = {
    "out of order": Trouble(refusing("greeting", "554 5.3.2 no SMTP service here"), "554 5.3.2"),
    "greeted with 421": Trouble(refusing("greeting", "421 4.3.2 shutting down"), "421 4.3.2"),
    "sender refused at MAIL": Trouble(
        refusing("mail", "550 5.1.8 bad sender"), "sender's address is refused"
    ),
    "sender refused at RCPT": Trouble(refusing("rcpt", "554 5.7.1 sender rejected"), "554 5.7.1"),
    "login demanded at RCPT": Trouble(refusing("rcpt", "530 5.7.0 login first"), "530 5.7.0"),
    "too many connections": Trouble(Behaviour(max_connections=0), "421"),
    "connections dropped": Trouble(Behaviour(max_connections=0, over_limit="drop"), "closed the connection"),
    "rate exceeded at MAIL": Trouble(
        refusing("mail", "421 4.7.0 too many mails"), "(421 4.7.0 while sending MAIL FROM)"
    ),
    "rate exceeded at the greeting": Trouble(refusing("greeting", "450 4.7.1 too fast"), "450 4.7.1"),
}


async def mailed_once_mended(bench: Bench, handle: Handle, trouble: Trouble) -> None:
    """The promise, from the trouble to the end."""
    began = datetime.now(UTC)
    progress = await waiting(handle)
    (wait,) = {one.what: one for one in progress.waiting}.values()
    assert trouble.said in wait.what
    assert str(bench.relay.port) in wait.what
    assert "@" not in wait.what
    assert began <= wait.since <= datetime.now(UTC)
    assert not progress.settled_count
    bench.relay.behave(trouble.mended)
    bench.assert_everyone_once(await handle.result())
    ended: Progress = await handle.query("progress", result_type=Progress)
    assert not ended.waiting
    assert ended.settled == {Outcome.SENT: RECIPIENTS}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_relay_at_fault_fails_nobody(bench: Bench, name: str) -> None:
    bench.relay.behave(TROUBLES[name].broken)
    handle = await bench.start(RECIPIENTS, connections=3, slice_size=RECIPIENTS)
    await bench.worker()
    await mailed_once_mended(bench, handle, TROUBLES[name])


async def test_a_relay_that_is_down_fails_nobody(bench: Bench) -> None:
    bench.relay.stop_accepting()
    await bench.worker()
    handle = await bench.start(RECIPIENTS, connections=3, slice_size=RECIPIENTS)
    progress = await waiting(handle)
    assert "refused the connection" in progress.waiting[0].what
    bench.relay.accept()
    bench.assert_everyone_once(await handle.result())


async def test_a_refused_login_fails_nobody(bench: Bench) -> None:
    bench.relay.behave(Behaviour(login=(LOGIN[0], "another word")))
    handle = await bench.start(RECIPIENTS, connections=3, slice_size=RECIPIENTS)
    await bench.worker(SMTP_USERNAME=LOGIN[0], SMTP_PASSWORD=LOGIN[1])
    mended = Behaviour(login=LOGIN)
    await mailed_once_mended(bench, handle, Trouble(mended, "it refused the login (535 5.7.8)", mended))


async def test_a_certificate_that_proves_nothing_fails_nobody(
    bench: Bench, certificates: Certificates
) -> None:
    stranger = bench.folder / "stranger.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(stranger)
    bench.relay.behave(Behaviour(tls="starttls", certificate=str(stranger)))
    handle = await bench.start(RECIPIENTS, connections=3, slice_size=RECIPIENTS)
    await bench.worker(SMTP_TLS="starttls", SSL_CERT_FILE=str(certificates.authority))
    mended = Behaviour(tls="starttls", certificate=str(certificates.server))
    await mailed_once_mended(bench, handle, Trouble(mended, "its certificate does not prove", mended))


async def test_a_name_that_nobody_knows_fails_nobody(bench: Bench) -> None:
    """A name comes to be known outside: here by a worker with another one."""
    lost = await bench.worker(SMTP_HOST="relay.invalid", SMTP_TLS="none")
    handle = await bench.start(
        RECIPIENTS, connections=3, slice_size=RECIPIENTS, heartbeat_timeout=DEATHS_NOTICED
    )
    progress = await waiting(handle)
    assert "no address is known for the name relay.invalid; check SMTP_HOST" in progress.waiting[0].what
    lost.stop()
    await bench.worker()
    bench.assert_everyone_once(await handle.result())

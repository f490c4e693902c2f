"""Open a connection to the relay, up to the point where it takes mail.

aiosmtplib speaks greeting, EHLO, STARTTLS and AUTH; then its open transport is handed to a Session.
Certificates are verified, and the password never travels in clear text except to this very machine.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from contextlib import suppress
from functools import cache
from typing import cast

import aiosmtplib
from aiosmtplib.errors import SMTPAuthenticationError, SMTPException, SMTPHeloError

from batchmail.batch.outcomes import Cause, Stage
from batchmail.relay.faults import UnusableRelayError, explained
from batchmail.relay.reach import connected
from batchmail.relay.session import Conversation, Offers, Session
from batchmail.relay.stages import STAGES, Stages
from batchmail.settings import Relay, Tls, is_loopback

_FULL_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_UNKNOWN_COMMAND = {500, 502}
_UNKNOWN_MECHANISM = 504
_PATIENCE_AT_QUIT = 5.0


class _Client(aiosmtplib.SMTP):
    """Closes at once, also by itself: a transport that takes leave of its TLS first would outlive its socket,
    whose number the next connection is given."""

    def close(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        super().close()


async def open_session(relay: Relay, conversation: Conversation, stages: Stages = STAGES) -> Session:
    """A session that is ready for its first mail.

    Raises UnusableRelayError (a RelayFaultError). Cancelled, it leaves no connection behind.
    """
    client = await _open(relay, stages)
    transport, protocol = client.transport, client.protocol
    # A relay that has closed by now has told aiosmtplib's protocol, and would never tell the session.
    if transport is None or protocol is None or transport.is_closing() or protocol._buffer:
        client.close()
        raise UnusableRelayError(relay, Cause(Stage.EHLO), "it closed the connection as soon as it was open")
    session = Session(cast(asyncio.Transport, transport), conversation, _offers(client), stages)
    transport.set_protocol(session)
    return session


async def try_relay(relay: Relay, stages: Stages = STAGES) -> None:
    """Open one connection and take leave, to know before a start that the relay can be used.

    Raises UnusableRelayError (a RelayFaultError).
    """
    client = await _open(relay, stages)
    try:
        with suppress(SMTPException, OSError):
            await client.quit(timeout=_PATIENCE_AT_QUIT)
    finally:
        client.close()


async def _open(relay: Relay, stages: Stages) -> aiosmtplib.SMTP:
    """Connected, greeted and logged in."""

    def time_out(stage: Stage) -> float:
        return stages[stage].time_out.total_seconds()

    with explained(relay, Stage.CONNECT):
        sock = await connected(relay.host, relay.port, time_out(Stage.CONNECT))
    try:
        _keep_the_password_private(relay, sock)
        client = _Client(
            hostname=relay.host,
            sock=sock,
            use_tls=relay.tls is Tls.IMPLICIT,
            start_tls=False,
            local_hostname=_own_name(sock),
            tls_context=None if relay.tls is Tls.NONE else trust(),
        )
    except BaseException:
        sock.close()
        raise
    try:
        with explained(relay, Stage.GREETING):
            await client.connect(timeout=time_out(Stage.GREETING))
        with explained(relay, Stage.EHLO):
            await _say_hello(client, relay, time_out(Stage.EHLO))
        if relay.tls is Tls.STARTTLS:
            with explained(relay, Stage.STARTTLS):
                await _start_tls(client, relay, time_out(Stage.STARTTLS))
            with explained(relay, Stage.EHLO):
                await client.ehlo(timeout=time_out(Stage.EHLO))
        if relay.username is not None:
            with explained(relay, Stage.AUTH):
                await _log_in(client, relay, time_out(Stage.AUTH))
    except BaseException:
        client.close()
        sock.close()
        raise
    return client


def _keep_the_password_private(relay: Relay, sock: socket.socket) -> None:
    if relay.username is None or relay.tls is not Tls.NONE or is_loopback(sock.getpeername()[0]):
        return
    raise UnusableRelayError(
        relay,
        Cause(Stage.AUTH),
        "the password would travel in clear text; set SMTP_TLS to starttls or implicit",
    )


def _own_name(sock: socket.socket) -> str:
    """What we call ourselves in EHLO: this machine's full name, else its address (RFC 5321, section 4.1.4).

    Nothing is looked up, since `getfqdn` can take many seconds.
    """
    address = sock.getsockname()[0]
    name = socket.gethostname()
    if _FULL_NAME.fullmatch(name) and not is_loopback(address):
        return name
    return f"[IPv6:{address.partition('%')[0]}]" if sock.family is socket.AF_INET6 else f"[{address}]"


@cache  # reading the system's certificates takes tens of milliseconds
def trust() -> ssl.SSLContext:
    """Whose certificates are believed: those the system trusts (SSL_CERT_FILE is heeded)."""
    return ssl.create_default_context()


async def _say_hello(client: aiosmtplib.SMTP, relay: Relay, time_out: float) -> None:
    try:
        await client.ehlo(timeout=time_out)
    except SMTPHeloError as error:
        if error.code not in _UNKNOWN_COMMAND or relay.tls is Tls.STARTTLS or relay.username is not None:
            raise
        await client.helo(timeout=time_out)


async def _start_tls(client: aiosmtplib.SMTP, relay: Relay, time_out: float) -> None:
    if not client.supports_extension("starttls"):
        raise UnusableRelayError(
            relay,
            Cause(Stage.STARTTLS),
            "it does not offer STARTTLS, and nothing is sent in clear text; check SMTP_TLS and SMTP_PORT",
        )
    await client.starttls(timeout=time_out)


async def _log_in(client: aiosmtplib.SMTP, relay: Relay, time_out: float) -> None:
    """Log in by the first mechanism that both sides know.

    A refused login ends it: trying the others (as aiosmtplib's `login` does) is how accounts get locked.
    """
    username = relay.username or ""
    password = relay.password.get_secret_value() if relay.password is not None else ""
    ways = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
    refusal: SMTPAuthenticationError | None = None
    for name, way in ways.items():
        if name not in client.server_auth_methods:
            continue
        try:
            await way(username, password, timeout=time_out)
        except SMTPAuthenticationError as error:
            if error.code != _UNKNOWN_MECHANISM:
                raise
            refusal = error
        else:
            return
    if refusal is not None:
        raise refusal
    raise UnusableRelayError(
        relay,
        Cause(Stage.AUTH),
        "it offers no login by PLAIN, LOGIN or CRAM-MD5; check SMTP_USERNAME, SMTP_TLS and SMTP_PORT",
    )


def _offers(client: aiosmtplib.SMTP) -> Offers:
    size = client.esmtp_extensions.get("size", "").strip()
    return Offers(
        pipelining=client.supports_extension("pipelining"),
        eight_bit=client.supports_extension("8bitmime"),
        utf8=client.supports_extension("smtputf8"),
        size=client.supports_extension("size"),
        max_size=int(size) or None if size.isascii() and size.isdigit() else None,
    )

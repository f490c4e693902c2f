"""Say in one sentence why no session with the relay could be opened.

The sentence names host and port, what happened and, where there is one, the setting that mends it: never the
password, a user name or the relay's own words, which may carry an address.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiosmtplib.errors import SMTPException, SMTPResponseException, SMTPServerDisconnected

from batchmail.batch.outcomes import Cause, Stage
from batchmail.errors import RelayFaultError
from batchmail.relay.stages import STAGES
from batchmail.settings import Relay

_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)")


class UnusableRelayError(RelayFaultError):
    """No session could be opened; `cause` says at which stage, and with which answer.

    (It stands here, not in batchmail.errors, since Cause is a word of the batch room, above the tree.)
    """

    def __init__(self, relay: Relay, cause: Cause, what: str) -> None:
        super().__init__(f"The relay {relay} cannot be used: {what}.")
        self.cause = cause


@contextmanager
def explained(relay: Relay, stage: Stage) -> Iterator[None]:
    """Turn what goes wrong inside, at `stage`, into an UnusableRelayError."""
    try:
        yield
    except UnusableRelayError:
        raise
    except (SMTPException, OSError, EOFError) as error:
        raise _explain(relay, stage, error) from None


def _explain(relay: Relay, stage: Stage, error: Exception) -> UnusableRelayError:
    phrase = STAGES[stage].phrase
    root = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(root, ssl.SSLError):
        return UnusableRelayError(relay, Cause(Stage.STARTTLS), _tls_trouble(relay, root))
    if isinstance(error, SMTPResponseException):
        return _refusal(relay, stage, error)
    if isinstance(error, socket.gaierror):
        what = f"no address is known for the name {relay.host}; check SMTP_HOST"
    elif isinstance(error, ConnectionRefusedError):
        what = "it refused the connection; check SMTP_HOST and SMTP_PORT, and that it is running"
    elif isinstance(error, TimeoutError | asyncio.TimeoutError):
        what = f"it did not answer in time {phrase}"
    elif isinstance(error, SMTPServerDisconnected | ConnectionError | EOFError):
        what = f"it closed the connection {phrase}"
    elif isinstance(error, OSError) and error.strerror:
        what = f"{error.strerror} {phrase}"
    else:
        what = f"it gave an answer that is not SMTP {phrase}"
    return UnusableRelayError(relay, Cause(stage), what)


def _tls_trouble(relay: Relay, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not prove that it is {relay.host} ({error.verify_message.rstrip('.')})"
    return (
        f"TLS could not be started ({error.reason or 'no reason given'}); SMTP_TLS is {relay.tls}: "
        "implicit is usual on port 465, starttls on 587"
    )


def _refusal(relay: Relay, stage: Stage, error: SMTPResponseException) -> UnusableRelayError:
    found = _ENHANCED.match(error.message)
    enhanced = found[0] if found and found[0][0] == str(error.code)[0] else ""
    code = error.code if 200 <= error.code < 600 else 0
    if code == 0:
        what = f"it gave an answer that is not SMTP {STAGES[stage].phrase}"
    else:
        answer = f"{code} {enhanced}".rstrip()
        what = f"it answered {answer} {STAGES[stage].phrase}"
        if stage is Stage.AUTH:
            what = (
                f"it cannot check the login at present ({answer})"
                if 400 <= code < 500
                else f"it refused the login ({answer}); check SMTP_USERNAME and SMTP_PASSWORD"
            )
    return UnusableRelayError(relay, Cause(stage, code, enhanced), what)

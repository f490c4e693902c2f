"""Connect to Temporal: by Temporal's own variables and profiles, or to the address of a server we started."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from dotenv import dotenv_values
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from batchmail.engine.encryption import Keys, data_converter, read_keys
from batchmail.engine.tracing import tracing_interceptors
from batchmail.errors import EngineError, SettingsError
from batchmail.settings import DOTENV, read_settings

_TIMEOUT = timedelta(seconds=5)  # for the connection, and for the one call after it
_MAY_PASS = (RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.UNKNOWN)
_PAUSE = 0.5  # seconds before that call is made again

_NO_SERVER = "start it, or set TEMPORAL_ADDRESS to yours, or use --dev for an embedded one"
_TLS = "check TEMPORAL_TLS and the TEMPORAL_TLS_… settings or the profile's tls"
_CLOSED = ("fatal alert", "broken pipe", "connection closed", "connection reset")
_OWN = "check TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"


async def connect(*, address: str | None = None, namespace: str | None = None) -> Client:
    """A client, connected, whose namespace exists.

    Without `address` everything comes from `temporalio.envconfig`, as in every Temporal tool, and `.env`:
    TEMPORAL_ADDRESS (default localhost:7233), TEMPORAL_NAMESPACE, TLS, API key, profiles. With `address`,
    which names a server that has none of these (the embedded one), none of them is read. `namespace`
    overrides what is configured. With BATCH_ENCRYPTION_KEYS all that it sends is encrypted.

    Ends within about ten seconds. Raises SettingsError for a configuration that cannot be read, EngineError
    for a server that cannot be reached or refuses.
    """
    config = _configuration() if address is None else ClientConnectConfig(target_host=address)
    config.setdefault("target_host", "localhost:7233")
    config["namespace"] = namespace or config.get("namespace") or "default"
    client = await _open(config, _keys())
    await _check_namespace(client, config["target_host"])
    return client


def _configuration() -> ClientConnectConfig:
    environment = _environment()
    _check_file(environment)
    try:
        config = ClientConfig.load_client_connect_config(override_env_vars=environment)
    except OSError as error:
        raise SettingsError(
            f"Temporal's configuration names {error.filename}, which cannot be read: {error.strerror}."
        ) from None
    except Exception as error:  # the SDK's ConfigError is no public name
        what = _first_line(error)
        raise SettingsError(f"Temporal's configuration cannot be used: {what}.") from None
    if "://" in config.get("target_host", ""):
        raise SettingsError(
            f"TEMPORAL_ADDRESS: {config['target_host']!r} cannot be used: give host:port without a scheme."
        )
    _check_api_key(config)
    return config


def _check_file(environment: Mapping[str, str]) -> None:
    """Raise SettingsError for a configuration file that is not there: the SDK would go without it, and so to
    localhost, without TLS."""
    if not (name := environment.get("TEMPORAL_CONFIG_FILE")):
        return
    try:
        Path(name).stat()
    except OSError as error:
        raise SettingsError(
            f"TEMPORAL_CONFIG_FILE names {name}, which cannot be read: {error.strerror}."
        ) from None


def _check_api_key(config: ClientConnectConfig) -> None:
    """Raise SettingsError for a key that would travel in clear text, or that the SDK would leave out."""
    key = config.get("api_key")
    if not key:
        return
    if not config.get("tls"):
        raise SettingsError("TEMPORAL_API_KEY needs TLS, which TEMPORAL_TLS or the profile switches off.")
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("TEMPORAL_API_KEY has characters that are in no key, such as a line's end.")


def _environment() -> dict[str, str]:
    """The environment, and Temporal's variables in `.env` where the environment has none of the name."""
    in_file = dotenv_values(DOTENV, encoding="utf-8")
    ours = {name: value for name, value in in_file.items() if name.startswith("TEMPORAL_") and value}
    return ours | dict(os.environ)


def _keys() -> Keys:
    secret = read_settings().batch_encryption_keys
    return read_keys(secret.get_secret_value()) if secret else {}


async def _open(config: ClientConnectConfig, keys: Keys) -> Client:
    address = config["target_host"]
    try:
        async with asyncio.timeout(_TIMEOUT.total_seconds()):
            return await Client.connect(
                **config, data_converter=data_converter(keys), interceptors=tracing_interceptors()
            )
    except TimeoutError:
        raise EngineError(
            f"No Temporal server answers at {address} within {_TIMEOUT.seconds} s: {_NO_SERVER}."
        ) from None
    except ValueError as error:
        if "client cert" in str(error):
            raise SettingsError(f"Temporal's TLS wants certificate and key, or neither: {_OWN}.") from None
        raise SettingsError(
            f"TEMPORAL_ADDRESS: {address!r} cannot be used ({_first_line(error)}): give host:port."
        ) from None
    except (RuntimeError, RPCError) as error:
        raise EngineError(_why_not(address, str(error), config.get("tls") or False)) from None


def _why_not(address: str, failure: str, tls: bool | TLSConfig) -> str:
    """One sentence for what the SDK's connection failure means; the SDK tells its kinds by text alone."""
    # A server that refuses our certificate says so after the handshake, and half of the time too late.
    if tls and any(mark in failure for mark in _CLOSED):
        if isinstance(tls, TLSConfig) and tls.client_cert:
            return f"The Temporal server at {address} does not accept this client's certificate: {_OWN}."
        return f"The Temporal server at {address} seems to want a certificate from its clients: {_OWN}."
    for marks, sentence in (
        (("dns error",), f"The host of the Temporal server {address} is not known: {_NO_SERVER}."),
        (
            ("UnknownIssuer",),
            f"The Temporal server at {address} has a certificate from an issuer that is not trusted: {_TLS}.",
        ),
        (
            ("NotValidForName",),
            f"The Temporal server at {address} has a certificate for another name: {_TLS}.",
        ),
        (
            ("(Expired",),
            f"The Temporal server at {address} has a certificate that has expired: it needs a new one, "
            "unless this machine's clock is wrong.",
        ),
        (
            ("KeyMismatch", "NoCertificatesPresented"),
            f"This client's certificate for Temporal and its key do not belong together: {_OWN}.",
        ),
        (
            ("InvalidCertificate", "PrivateKeyParseError", "CertificateParseError"),
            f"TLS with the Temporal server at {address} fails: a certificate or key is not valid: {_TLS}.",
        ),
        (
            ("InvalidContentType",),
            f"What answers at {address} does not speak TLS, which is switched on: {_TLS}.",
        ),
        (
            ("Unauthenticated", "PermissionDenied"),
            f"The Temporal server at {address} refuses the login: check TEMPORAL_API_KEY or certificates.",
        ),
        (
            ("get_system_info",),
            f"What answers at {address} is no Temporal server, or wants TLS: check TEMPORAL_ADDRESS and "
            "TEMPORAL_TLS, or use --dev for an embedded server.",
        ),
    ):
        if any(mark in failure for mark in marks):
            return sentence
    return f"No Temporal server answers at {address}: {_NO_SERVER}."


async def _check_namespace(client: Client, address: str) -> None:
    """Raise EngineError unless the namespace is served; what may pass at once is given a few seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _TIMEOUT.total_seconds()
    request = DescribeNamespaceRequest(namespace=client.namespace)
    while True:
        try:
            await client.workflow_service.describe_namespace(request, timeout=_TIMEOUT)
            return
        except RPCError as error:
            if error.status not in _MAY_PASS or loop.time() >= until:
                raise EngineError(_why_no_namespace(error, address, client.namespace)) from None
        await asyncio.sleep(_PAUSE)


def _why_no_namespace(error: RPCError, address: str, namespace: str) -> str:
    match error.status:
        case RPCStatusCode.NOT_FOUND:
            return (
                f"The Temporal server at {address} has no namespace {namespace!r}: create it with "
                f"`temporal operator namespace create -n {namespace}`, or set TEMPORAL_NAMESPACE."
            )
        case RPCStatusCode.PERMISSION_DENIED | RPCStatusCode.UNAUTHENTICATED:
            return (
                f"The Temporal server at {address} does not let this login into namespace {namespace!r}: "
                "check TEMPORAL_NAMESPACE and TEMPORAL_API_KEY or the certificates."
            )
        case RPCStatusCode.RESOURCE_EXHAUSTED:
            return (
                f"The Temporal server at {address} has reached a limit for namespace {namespace!r} "
                f"({error.message}): try again later, or raise the limit."
            )
    return (
        f"The Temporal server at {address} is there and cannot answer ({error.status.name}): see whether its "
        "database runs, and try again."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

"""Connect to Temporal: by Temporal's own variables and profiles, or to the address of a server we started."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from dotenv import dotenv_values
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import RPCError, RPCStatusCode

from batchmail.errors import EngineError, SettingsError
from batchmail.settings import DOTENV

_TIMEOUT = timedelta(seconds=5)  # for the connection, and for the one call after it

_NO_SERVER = "set TEMPORAL_ADDRESS to your Temporal server, or use --dev for an embedded one"
_TLS = "check TEMPORAL_TLS and the TEMPORAL_TLS_… settings or the profile's tls"


async def connect(*, address: str | None = None, namespace: str | None = None) -> Client:
    """A client, connected, whose namespace exists.

    Without `address` everything comes from `temporalio.envconfig`, as in every Temporal tool, and `.env`:
    TEMPORAL_ADDRESS (default localhost:7233), TEMPORAL_NAMESPACE, TLS, API key, profiles. With `address`,
    which names a server that has none of these (the embedded one), none of them is read. `namespace`
    overrides what is configured.

    Ends within about ten seconds. Raises SettingsError for a configuration that cannot be read, EngineError
    for a server that cannot be reached or refuses.
    """
    config = _configuration() if address is None else ClientConnectConfig(target_host=address)
    config.setdefault("target_host", "localhost:7233")
    config["namespace"] = namespace or config.get("namespace") or "default"
    client = await _open(config)
    await _check_namespace(client, config["target_host"])
    return client


def _configuration() -> ClientConnectConfig:
    try:
        config = ClientConfig.load_client_connect_config(override_env_vars=_environment())
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
    return config


def _environment() -> dict[str, str]:
    """The environment, and Temporal's variables in `.env` where the environment has none of the name."""
    in_file = dotenv_values(DOTENV, encoding="utf-8")
    ours = {name: value for name, value in in_file.items() if name.startswith("TEMPORAL_") and value}
    return ours | dict(os.environ)


async def _open(config: ClientConnectConfig) -> Client:
    address = config["target_host"]
    try:
        async with asyncio.timeout(_TIMEOUT.total_seconds()):
            return await Client.connect(**config, data_converter=pydantic_data_converter)
    except TimeoutError:
        raise EngineError(
            f"No Temporal server answers at {address} within {_TIMEOUT.seconds} s: {_NO_SERVER}."
        ) from None
    except ValueError as error:
        raise SettingsError(
            f"TEMPORAL_ADDRESS: {address!r} cannot be used ({_first_line(error)}): give host:port."
        ) from None
    except (RuntimeError, RPCError) as error:
        raise EngineError(_why_not(address, str(error))) from None


def _why_not(address: str, failure: str) -> str:
    """One sentence for what the SDK's connection failure means; the SDK tells its kinds by text alone."""
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
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=_TIMEOUT
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise EngineError(
                f"The Temporal server at {address} has no namespace {client.namespace!r}: create it with "
                f"`temporal operator namespace create -n {client.namespace}`, or set TEMPORAL_NAMESPACE."
            ) from None
        if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
            raise EngineError(
                f"The Temporal server at {address} does not let this login into namespace "
                f"{client.namespace!r}: check TEMPORAL_NAMESPACE and TEMPORAL_API_KEY or the certificates."
            ) from None
        raise EngineError(
            f"The Temporal server at {address} does not answer in time ({error.status.name}): try again."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

"""Settings from the environment and `.env`, as typed values.

Temporal's own variables and profiles (TEMPORAL_ADDRESS, …) are read by batchmail.engine, as every Temporal
tool reads them; from `.env` too.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from batchmail.errors import SettingsError
from batchmail.locations import path_meant

DOTENV = ".env"
CHECKOUT = Path(__file__).resolve().parent.parent

_RELAY = ("SMTP_HOST", "SMTP_PORT", "SMTP_TLS", "SMTP_USERNAME", "SMTP_PASSWORD")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Tls(StrEnum):
    """How the connection to the relay is made secure."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


def duration(text: object) -> object:
    """`10s`, `5m`, `1.5h`, `2d` as a timedelta; anything but text is left to pydantic."""
    if not isinstance(text, str):
        return text
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if found is None:
        raise ValueError("a duration is a number with s, m, h or d, such as 30s, 5m or 1.5h")
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        raise ValueError("this duration is too long") from None


def durations(text: object) -> object:
    """Comma-separated durations (`1s,30s,5m`) as a tuple; `none` is the empty tuple."""
    if not isinstance(text, str):
        return text
    return () if text.strip().lower() == "none" else tuple(duration(part) for part in text.split(","))


def addresses(text: object) -> object:
    """Comma-separated addresses as a tuple."""
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def folder(text: object) -> object:
    """A path or a file:// URL as a path; anything but text is left to pydantic."""
    if not isinstance(text, str):
        return text
    path = path_meant(text)
    if path is None:
        raise ValueError("give a folder; object stores are not supported yet")
    return path


Duration = Annotated[timedelta, BeforeValidator(duration), Field(gt=timedelta(0))]


class Relay(BaseModel):
    """The user's SMTP server."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    tls: Tls
    username: str | None = None
    password: SecretStr | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Settings(BaseSettings):
    """Every setting of ours; docs and README carry the same table (a test compares them)."""

    model_config = SettingsConfigDict(env_file=DOTENV, extra="ignore", frozen=True, env_ignore_empty=True)

    smtp_host: str | None = None
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Tls | None = None
    mail_from: str | None = None
    admin_email: Annotated[tuple[str, ...], NoDecode, BeforeValidator(addresses)] = ()
    batch_store: Annotated[Path | None, BeforeValidator(folder)] = None
    batch_state: Path = CHECKOUT / "var"
    batch_temporal_cli: Path | None = None
    batch_task_queue: str = Field(default="batchmail", min_length=1)
    batch_connections: int = Field(default=20, ge=1, le=2000)
    batch_retry_delays: Annotated[tuple[Duration, ...] | None, NoDecode, BeforeValidator(durations)] = None
    batch_heartbeat_timeout: Duration = timedelta(seconds=10)
    batch_retry_interval: Duration = timedelta(seconds=1)
    batch_grace: Duration = timedelta(seconds=20)
    batch_cached_workflows: int = Field(default=100, ge=0)

    @property
    def store_location(self) -> Path:
        """The folder of the store."""
        return (self.batch_store or self.batch_state / "store").expanduser()

    @property
    def relay(self) -> Relay | None:
        """The relay, or None where SMTP_HOST is not set."""
        if self.smtp_host is None:
            return None
        tls = self.smtp_tls or (Tls.NONE if is_loopback(self.smtp_host) else Tls.STARTTLS)
        port = self.smtp_port or {Tls.NONE: 25, Tls.STARTTLS: 587, Tls.IMPLICIT: 465}[tls]
        return Relay(
            host=self.smtp_host, port=port, tls=tls, username=self.smtp_username, password=self.smtp_password
        )


def is_loopback(host: str) -> bool:
    """Whether `host` names this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def read_settings() -> Settings:
    """Settings from the environment and `.env`.

    Raises SettingsError, which names the setting, what was found and what is allowed.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper()
        found = "the value (not shown)" if "PASSWORD" in name else repr(first["input"])
        raise SettingsError(f"{name}: {found} cannot be used: {_allowed(first['msg'])}.") from None
    _check_relay(settings)
    return settings


def _check_relay(settings: Settings) -> None:
    """Raise SettingsError where a setting of the relay would go unheeded for want of another."""
    given = {name for name in _RELAY if getattr(settings, name.lower()) is not None}
    for wanted, whose in (
        ("SMTP_HOST", _RELAY),
        ("SMTP_USERNAME", ("SMTP_PASSWORD",)),
        ("SMTP_PASSWORD", ("SMTP_USERNAME",)),
    ):
        lonely = next((name for name in whose if name in given), None)
        if lonely is not None and wanted not in given:
            raise SettingsError(f"{lonely} is set and {wanted} is not: set {wanted} too, or unset {lonely}.")


def _allowed(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")

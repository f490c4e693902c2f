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
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from batchmail.batch.options import (
    DEFAULT_GIVE_UP_AFTER,
    DEFAULT_MAX_REJECTED_PERCENT,
    DEFAULT_TELL_AFTER,
    LONGEST_GIVE_UP_AFTER,
)
from batchmail.errors import SettingsError
from batchmail.locations import StoreLocation, may_hold_secret, store_meant

DOTENV = ".env"
CHECKOUT = Path(__file__).resolve().parent.parent

_RELAY = ("SMTP_HOST", "SMTP_PORT", "SMTP_TLS", "SMTP_USERNAME", "SMTP_PASSWORD")
_DEPLOYMENT = ("BATCH_DEPLOYMENT", "BATCH_BUILD_ID")
_SECRETS = ("SMTP_PASSWORD", "BATCH_ENCRYPTION_KEYS")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CREDENTIALS = re.compile(r":.*@", re.DOTALL)
_NUMBER_ERRORS = {"int_parsing", "int_parsing_size", "greater_than_equal", "less_than_equal"}


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


def some_time(text: object) -> object:
    """A duration that is not 0, as a timedelta; anything but text is left to pydantic."""
    found = duration(text)
    if isinstance(found, timedelta) and found <= timedelta(0):
        raise ValueError("give more than 0s, such as 30s, 5m or 1.5h")
    return found


def durations(text: object) -> object:
    """Comma-separated durations (`1s,30s,5m`), none of them 0, as a tuple; `none` is the empty tuple."""
    if not isinstance(text, str):
        return text
    return () if text.strip().lower() == "none" else tuple(some_time(part) for part in text.split(","))


def give_up_time(text: object) -> object:
    """How long a deferred recipient is tried, as a timedelta; anything but text is left to pydantic."""
    found = duration(text)
    if isinstance(found, timedelta) and not timedelta(0) < found <= LONGEST_GIVE_UP_AFTER:
        raise ValueError(f"give more than 0s and at most {LONGEST_GIVE_UP_AFTER.days}d, such as 24h or 5d")
    return found


def percentage(text: object) -> object:
    """`20%` or `2.5%` as a number of per cent, `off` as 100; anything but text is left to pydantic."""
    if not isinstance(text, str):
        return text
    if text.strip().lower() == "off":
        return 100.0
    found = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*%\s*", text)
    if found is None or float(found[1]) > 100:
        raise ValueError("give a share from 0% to 100%, such as 20%, or off")
    return float(found[1])


def addresses(text: object) -> object:
    """Comma-separated addresses as a tuple."""
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def store(text: object) -> object:
    """A folder or a bucket's URL as a location; anything but text is left to pydantic."""
    return store_meant(text) if isinstance(text, str) else text


class Listen(NamedTuple):
    """An address of this machine at which something answers."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host to connect to, from this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104


def listen_address(text: object) -> object:
    """`127.0.0.1:9464`, `localhost:9464` or `[::1]:9464` as an address; anything but text is left alone."""
    if not isinstance(text, str):
        return text
    host, _, port = text.strip().rpartition(":")
    host = "127.0.0.1" if host.lower() == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        found = Listen(str(ip_address(host)), int(port))
    except ValueError:
        found = None
    if found is None or not 1 <= found.port <= 65535:
        raise ValueError("give an IP address of this machine and a port, such as 127.0.0.1:9464")
    return found


def deployment_name(text: str | None) -> str | None:
    """The name of a worker deployment, which Temporal joins to a build's with a dot or a colon."""
    if text is not None and re.search(r"[.:]", text):
        raise ValueError("a deployment's name has no dot and no colon")
    return text


def relay_host(text: str | None) -> str | None:
    """A name or an IP address that can be looked up, and nothing beside it."""
    if text is not None and not (_is_address(text) or _is_host_name(text)):
        raise ValueError("give the relay's name or IP address alone, and its port as SMTP_PORT")
    return text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    try:
        text.encode("idna")  # so does the look-up, which an empty label or a long one ends
    except UnicodeError:
        return False
    return text.isprintable() and not any(mark in text for mark in " :/@[]")


Duration = Annotated[timedelta, BeforeValidator(some_time)]


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

    smtp_host: Annotated[str | None, AfterValidator(relay_host)] = None
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_password_file: Path | None = None
    smtp_tls: Tls | None = None
    mail_from: str | None = None
    admin_email: Annotated[tuple[str, ...], NoDecode, BeforeValidator(addresses)] = ()
    batch_store: Annotated[StoreLocation | None, NoDecode, BeforeValidator(store)] = None
    batch_state: Path = CHECKOUT / "var"
    batch_temporal_cli: Path | None = None
    batch_task_queue: str = Field(default="batchmail", min_length=1)
    batch_connections: int = Field(default=20, ge=1, le=2000)
    batch_give_up_after: Annotated[timedelta, BeforeValidator(give_up_time)] = DEFAULT_GIVE_UP_AFTER
    batch_max_rejected: Annotated[float, BeforeValidator(percentage)] = DEFAULT_MAX_REJECTED_PERCENT
    batch_tell_after: Duration = DEFAULT_TELL_AFTER
    batch_retry_delays: Annotated[tuple[timedelta, ...] | None, NoDecode, BeforeValidator(durations)] = None
    batch_heartbeat_timeout: Duration = timedelta(seconds=10)
    batch_heartbeat_interval: Annotated[timedelta, BeforeValidator(duration)] = timedelta(0)
    batch_retry_interval: Duration = timedelta(seconds=1)
    batch_grace: Duration = timedelta(seconds=20)
    batch_cached_workflows: int = Field(default=100, ge=0)
    batch_slices: int = Field(default=100, ge=1)
    batch_deployment: Annotated[str | None, AfterValidator(deployment_name)] = None
    batch_build_id: str | None = None
    batch_health_address: Annotated[Listen | None, NoDecode, BeforeValidator(listen_address)] = None
    batch_metrics_address: Annotated[Listen | None, NoDecode, BeforeValidator(listen_address)] = None
    batch_encryption_keys: SecretStr | None = None
    batch_encryption_keys_file: Path | None = None

    @property
    def store_location(self) -> StoreLocation:
        """Where the store is."""
        found = self.batch_store or self.batch_state / "store"
        return found.expanduser() if isinstance(found, Path) else found

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
    """Settings from the environment and `.env`; secrets also from the files that they name.

    Raises SettingsError, which names the setting, what was found and what is allowed.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).upper()
        given = str(first["input"])
        hidden = name in _SECRETS or may_hold_secret(given) or _CREDENTIALS.search(given)
        found = "the value (not shown)" if hidden else repr(given)
        raise SettingsError(f"{name}: {found} cannot be used: {_allowed(first)}.") from None
    settings = settings.model_copy(
        update={name.lower(): secret for name in _SECRETS if (secret := _secret_in_file(settings, name))}
    )
    _check_company(settings)
    return settings


def _secret_in_file(settings: Settings, name: str) -> SecretStr | None:
    """The secret that `name`_FILE leads to, without the line's end that editors add."""
    path: Path | None = getattr(settings, f"{name.lower()}_file")
    if path is None:
        return None
    if getattr(settings, name.lower()) is not None:
        raise SettingsError(f"{name} and {name}_FILE are both set: unset one of them.")
    try:
        text = path.expanduser().read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{name}_FILE: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{name}_FILE: {path} is not UTF-8: write the secret alone in it.") from None
    if not text.strip():
        raise SettingsError(f"{name}_FILE: {path} is empty: write the secret in it, or unset {name}_FILE.")
    if name == "SMTP_PASSWORD" and len(text.splitlines()) > 1:
        raise SettingsError(f"{name}_FILE: {path} has more than one line: write the secret alone in it.")
    return SecretStr(text)


def _check_company(settings: Settings) -> None:
    """Raise SettingsError where a setting would go unheeded for want of another."""
    given = {name for name in _RELAY + _DEPLOYMENT if getattr(settings, name.lower()) is not None}
    for wanted, whose in (
        ("SMTP_HOST", _RELAY),
        ("SMTP_USERNAME", ("SMTP_PASSWORD",)),
        ("SMTP_PASSWORD", ("SMTP_USERNAME",)),
        ("BATCH_BUILD_ID", ("BATCH_DEPLOYMENT",)),
        ("BATCH_DEPLOYMENT", ("BATCH_BUILD_ID",)),
    ):
        lonely = next((name for name in whose if name in given), None)
        if lonely is not None and wanted not in given:
            raise SettingsError(f"{lonely} is set and {wanted} is not: set {wanted} too, or unset {lonely}.")


def _allowed(error: ErrorDetails) -> str:
    """What may be given, in our words: pydantic's own are about Python."""
    kind, about = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(about["error"])
    if kind == "enum":
        return f"give {about['expected']}"
    if kind == "string_unicode":
        return "give text in UTF-8"
    if kind in _NUMBER_ERRORS:
        return f"give a whole number{_bounds(Settings.model_fields[str(error['loc'][0])])}"
    return "README.md says what this setting takes"


def _bounds(field: FieldInfo) -> str:
    least, most = (
        next((getattr(each, name) for each in field.metadata if hasattr(each, name)), None)
        for name in ("ge", "le")
    )
    if least is None or most is None:
        return "" if least is None else f", at least {least:,}"
    return f" from {least:,} to {most:,}"

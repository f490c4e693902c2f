"""Settings from the environment: what they become, and which cannot be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from batchmail.errors import SettingsError
from batchmail.settings import read_settings


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without `.env`."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("location", ["s3://bucket/x", "gs://bucket", "az://container/x", "file://else/x"])
def test_a_store_that_is_no_folder_is_refused(monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.setenv("BATCH_STORE", location)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value) == (
        f"BATCH_STORE: '{location}' cannot be used: give a folder; object stores are not supported yet."
    )


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("/srv/mail", Path("/srv/mail")),
        ("file:///srv/the%20mail", Path("/srv/the mail")),
        ("~/mail", Path.home() / "mail"),
        ("s3:/x", Path("s3:/x")),
    ],
)
def test_a_store_is_a_folder_or_a_file_url(
    monkeypatch: pytest.MonkeyPatch, location: str, folder: Path
) -> None:
    monkeypatch.setenv("BATCH_STORE", location)
    assert read_settings().store_location == folder


def test_without_a_store_it_lies_with_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_STATE", "~/state")
    monkeypatch.setenv("BATCH_STORE", "")
    assert read_settings().store_location == Path.home() / "state" / "store"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"SMTP_PORT": "25"},
            "SMTP_PORT is set and SMTP_HOST is not: set SMTP_HOST too, or unset SMTP_PORT.",
        ),
        ({"SMTP_TLS": "none"}, "SMTP_TLS is set and SMTP_HOST is not: "),
        ({"SMTP_USERNAME": "u", "SMTP_PASSWORD": "secret"}, "SMTP_USERNAME is set and SMTP_HOST is not: "),
        ({"SMTP_HOST": "h", "SMTP_USERNAME": "u"}, "SMTP_USERNAME is set and SMTP_PASSWORD is not: "),
        ({"SMTP_HOST": "h", "SMTP_PASSWORD": "secret"}, "SMTP_PASSWORD is set and SMTP_USERNAME is not: "),
        ({"SMTP_HOST": "", "SMTP_PASSWORD": "secret"}, "SMTP_PASSWORD is set and SMTP_HOST is not: "),
    ],
)
def test_a_setting_of_the_relay_that_would_go_unheeded_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], sentence: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(sentence)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "given", [{}, {"SMTP_HOST": "h"}, {"SMTP_HOST": "h", "SMTP_USERNAME": "u", "SMTP_PASSWORD": "p"}]
)
def test_a_relay_is_there_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    relay = read_settings().relay
    assert (relay is not None) == ("SMTP_HOST" in given)


@pytest.mark.parametrize(
    ("text", "delays"),
    [("", None), ("none", ()), (" None ", ()), ("1s,1m", (timedelta(seconds=1), timedelta(minutes=1)))],
)
def test_no_retries_are_said_as_none(
    monkeypatch: pytest.MonkeyPatch, text: str, delays: tuple[timedelta, ...] | None
) -> None:
    monkeypatch.setenv("BATCH_RETRY_DELAYS", text)
    assert read_settings().batch_retry_delays == delays

"""Settings from the environment: what they become, and which cannot be."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from batchmail.errors import SettingsError
from batchmail.locations import BucketUrl
from batchmail.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without `.env`."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "location",
    [
        "file://else/x",
        "http://bucket/x",
        "s3://",
        "s3:///x",
        "s3://b/x",
        "s3://bucket/a//x",
        "gs://bucket/a/../b",
    ],
)
def test_a_store_that_is_neither_folder_nor_bucket_is_refused(
    monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setenv("BATCH_STORE", location)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value) == (
        f"BATCH_STORE: '{location}' cannot be used: "
        "give a folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix."
    )


@pytest.mark.parametrize(
    "location", ["s3://key:secret@bucket/x", "s3://bucket/x?secret", "az://box/x#secret", "s3://s@secret"]
)
def test_credentials_in_the_address_of_a_store_are_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.setenv("BATCH_STORE", location)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "secret" not in str(caught.value)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("s3://mails", BucketUrl("s3", "mails")),
        ("gs://mails.example.org/", BucketUrl("gs", "mails.example.org")),
        ("az://box/a/b c%20d/", BucketUrl("az", "box", "a/b c%20d")),
    ],
)
def test_a_store_may_be_a_bucket(monkeypatch: pytest.MonkeyPatch, location: str, url: BucketUrl) -> None:
    monkeypatch.setenv("BATCH_STORE", location)
    found = read_settings().store_location
    assert found == url
    assert str(found) == location.rstrip("/")


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("/srv/mail", Path("/srv/mail")),
        ("file:///srv/the%20mail", Path("/srv/the mail")),
        ("~/mail", Path.home() / "mail"),
        ("s3:/x", Path("s3:/x")),
        ("2031", Path("2031")),
        ("null", Path("null")),
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


@pytest.mark.parametrize("written", ["a secret word", "a secret word\n", "a secret word\r\n"])
def test_a_password_is_read_from_its_file_without_the_end_of_its_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str
) -> None:
    (tmp_path / "password").write_bytes(written.encode())
    for name, value in {"HOST": "h", "USERNAME": "u", "PASSWORD_FILE": str(tmp_path / "password")}.items():
        monkeypatch.setenv(f"SMTP_{name}", value)
    relay = read_settings().relay
    assert relay is not None
    assert relay.password is not None
    assert relay.password.get_secret_value() == "a secret word"


def test_the_keys_are_read_from_their_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("new:secret\nold:secret\n")
    monkeypatch.setenv("BATCH_ENCRYPTION_KEYS_FILE", str(tmp_path / "keys"))
    keys = read_settings().batch_encryption_keys
    assert keys is not None
    assert keys.get_secret_value() == "new:secret\nold:secret"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "SMTP_PASSWORD_FILE: {} cannot be read: No such file or directory."),
        (b"\n", "SMTP_PASSWORD_FILE: {} is empty: write the secret in it, or unset SMTP_PASSWORD_FILE."),
        (b"secret\nSMTP_HOST=h\n", "SMTP_PASSWORD_FILE: {} has more than one line: "),
        (b"secret\xff", "SMTP_PASSWORD_FILE: {} is not UTF-8: "),
    ],
)
def test_a_file_that_holds_no_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SMTP_PASSWORD_FILE", str(file))
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith(sentence.format(file))
    assert "secret" not in str(caught.value).replace("the secret", "")


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    monkeypatch.setenv("SMTP_PASSWORD_FILE", str(tmp_path / "password"))
    with pytest.raises(SettingsError, match=r"^SMTP_PASSWORD and SMTP_PASSWORD_FILE are both set"):
        read_settings()


def test_secrets_are_not_shown_where_settings_are(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SMTP_PASSWORD", "BATCH_ENCRYPTION_KEYS")
    for name in ("SMTP_HOST", "SMTP_USERNAME", *names):
        monkeypatch.setenv(name, "mark-me" if name in names else "shown")
    settings = read_settings()
    for shown in (repr(settings), str(settings), repr(settings.relay), str(settings.relay)):
        assert "shown" in shown
        assert "mark-me" not in shown


@pytest.mark.parametrize(
    ("lonely", "wanted"),
    [("BATCH_DEPLOYMENT", "BATCH_BUILD_ID"), ("BATCH_BUILD_ID", "BATCH_DEPLOYMENT")],
)
def test_a_deployment_and_a_build_come_together(
    monkeypatch: pytest.MonkeyPatch, lonely: str, wanted: str
) -> None:
    monkeypatch.setenv(lonely, "one")
    with pytest.raises(SettingsError, match=f"^{lonely} is set and {wanted} is not: "):
        read_settings()
    monkeypatch.setenv(wanted, "other")
    assert {read_settings().batch_deployment, read_settings().batch_build_id} == {"one", "other"}


@pytest.mark.parametrize("name", ["mail.example", "mail:workers"])
def test_a_deployment_whose_name_temporal_could_not_take_apart_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BATCH_DEPLOYMENT", name)
    monkeypatch.setenv("BATCH_BUILD_ID", "1.0")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value) == (
        f"BATCH_DEPLOYMENT: '{name}' cannot be used: a deployment's name has no dot and no colon."
    )


@pytest.mark.parametrize(
    ("text", "address", "from_here"),
    [
        ("127.0.0.1:9464", "127.0.0.1:9464", "127.0.0.1"),
        ("localhost:9464", "127.0.0.1:9464", "127.0.0.1"),
        ("0.0.0.0:9464", "0.0.0.0:9464", "127.0.0.1"),
        ("[::]:9464", "[::]:9464", "::1"),
        ("[::1]:9464", "[::1]:9464", "::1"),
    ],
)
def test_an_address_to_listen_at_can_be_reached_from_this_machine(
    monkeypatch: pytest.MonkeyPatch, text: str, address: str, from_here: str
) -> None:
    monkeypatch.setenv("BATCH_HEALTH_ADDRESS", text)
    found = read_settings().batch_health_address
    assert found is not None
    assert (str(found), found.reachable_host) == (address, from_here)


@pytest.mark.parametrize(
    "text",
    ["9464", ":9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "worker:9464", "http://127.0.0.1:1"],
)
def test_an_address_nothing_can_listen_at_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BATCH_METRICS_ADDRESS", text)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value) == (
        f"BATCH_METRICS_ADDRESS: '{text}' cannot be used: give an IP address of this machine and a port, "
        "such as 127.0.0.1:9464."
    )


@pytest.mark.parametrize(("text", "percent"), [("20%", 20.0), (" 2.5 % ", 2.5), ("off", 100.0), ("0%", 0.0)])
def test_the_share_of_rejected_is_given_in_percent(
    monkeypatch: pytest.MonkeyPatch, text: str, percent: float
) -> None:
    monkeypatch.setenv("BATCH_MAX_REJECTED", text)
    assert read_settings().batch_max_rejected == percent


@pytest.mark.parametrize("text", ["0.2", "20", "-5%", "101%", "many"])
def test_a_share_that_may_mean_something_else_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BATCH_MAX_REJECTED", text)
    with pytest.raises(SettingsError, match="give a share from 0% to 100%, such as 20%, or off"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SMTP_PORT", "abc", "give a whole number from 1 to 65,535"),
        ("SMTP_PORT", "70000", "give a whole number from 1 to 65,535"),
        ("SMTP_TLS", "ssl", "give 'none', 'starttls' or 'implicit'"),
        ("BATCH_CONNECTIONS", "0", "give a whole number from 1 to 2,000"),
        ("BATCH_CONNECTIONS", "2001", "give a whole number from 1 to 2,000"),
        ("BATCH_CONNECTIONS", "9" * 30, "give a whole number from 1 to 2,000"),
        ("BATCH_SLICES", "1.5", "give a whole number, at least 1"),
        ("BATCH_CACHED_WORKFLOWS", "-1", "give a whole number, at least 0"),
        ("BATCH_HEARTBEAT_TIMEOUT", "0s", "give more than 0s, such as 30s, 5m or 1.5h"),
        ("BATCH_TELL_AFTER", "0m", "give more than 0s, such as 30s, 5m or 1.5h"),
        ("BATCH_RETRY_DELAYS", "1s,0s", "give more than 0s, such as 30s, 5m or 1.5h"),
        ("BATCH_TASK_QUEUE", "a\udcff", "give text in UTF-8"),
    ],
)
def test_what_a_setting_takes_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv("SMTP_HOST", "h")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value) == f"{name}: {value!r} cannot be used: {allowed}."


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
@pytest.mark.parametrize(
    "value", ["abc", "0", "-1", "1.5", "9" * 5000, "0s", "9" * 99 + "d", "a\udcff", " ", ","]
)
def test_no_setting_is_refused_in_the_words_of_a_library(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    said = ""
    try:
        read_settings()
    except SettingsError as error:
        said = str(error)
    assert not re.search("Input|input|Value error|datetime|string|README", said)


@pytest.mark.parametrize("host", ["user:secret@h", "smtp://user:secret@h:25", "a\n:secret\n@h"])
def test_a_secret_beside_a_host_is_not_shown(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("SMTP_HOST", host)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value).startswith("SMTP_HOST: the value (not shown) cannot be used: give ")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "smtp.example.org:25",
        "[::1]",
        "[::1]:25",
        "a b",
        " h",
        "smtp://h",
        "h/x",
        "u@h",
        "a..b",
        "x" * 64,
        "a\tb",
    ],
)
def test_what_is_no_host_alone_is_refused_and_the_place_of_its_port_named(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SMTP_HOST", host)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert str(caught.value) == (
        f"SMTP_HOST: {host!r} cannot be used: give the relay's name or IP address alone, "
        "and its port as SMTP_PORT."
    )


@pytest.mark.parametrize(
    "host",
    [
        "h",
        "smtp.example.org",
        "smtp.example.org.",
        "my_relay",
        "bücher.example",
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
    ],
)
def test_a_host_is_a_name_or_an_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("SMTP_HOST", host)
    relay = read_settings().relay
    assert relay is not None
    assert relay.host == host

"""What the command line refuses: one line on stderr, nothing on stdout, the exit code, nothing started."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from batchmail.cli.start import app
from tests.pure.starter_calls import LIST, Starter, starter

__all__ = ["starter"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--detach", "--dev"], "--detach cannot go with --dev"),
        (["--batch-id", "spring sale"], "--batch-id 'spring sale' cannot be used"),
        (["--batch-id", ""], "--batch-id '' cannot be used"),
        (["--connections", "0"], "--connections 0 cannot be used: give a number from 1 to 2,000"),
        (["--connections", "many"], "'--connections'"),
        (["--slice-size", "20001"], "--slice-size 20001 cannot be used: give a number from 1 to 20,000"),
        (
            ["--give-up-after", "tomorrow"],
            "--give-up-after 'tomorrow' cannot be used: a duration is a number with s, m, h or d",
        ),
        (
            ["--give-up-after", "0s"],
            "--give-up-after '0s' cannot be used: give more than 0s and at most 100d, such as 24h or 5d.",
        ),
        (["--give-up-after", "2400.1h"], "at most 100d"),
        (
            ["--max-rejected", "0.2"],
            "--max-rejected '0.2' cannot be used: give a share from 0% to 100%, such as 20%, or off.",
        ),
        (["--max-rejected", "20"], "such as 20%, or off"),
        (["--max-rejected", "101%"], "from 0% to 100%"),
        (["--in-doubt", "maybe"], "'maybe' is not one of 'resend', 'hold'"),
        (["--admin", "boss@example.com,nobody"], "--admin: 'nobody'"),
        (["--email-column", "Mail"], "Mail"),
        (["--message", "missing.md"], "missing.md"),
        (["--from", "no address"], "--from 'no address' cannot be used"),
        (["--subject", "{{ surname }}"], "surname"),
        (["--subject", "{{ first_name"], "--subject"),
        (
            ["--subject", "a\nBcc: x@example.com"],
            r"--subject 'a\nBcc: x@example.com' cannot be used: it must be a single line.",
        ),
        (["--subject", "a\rb"], "it must be a single line"),
        (["--lists", "x"], "No such option: --lists"),
        (["--detatch"], "--detach"),
        (["stray"], "stray"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(starter: Starter, options: list[str], sentence: str) -> None:
    said = starter("--list", starter.list, "--json", *options, code=2)
    assert sentence in said.error
    assert said.out == ""


def test_a_call_without_a_list_names_the_option(starter: Starter) -> None:
    said = starter(code=2)
    assert "--list" in said.error
    assert "--help" in said.error
    assert said.out == ""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"name\nAda\n", "email"),
        (b"email\n", "no rows"),
        (b"email\nnobody\n", "no usable row"),
        (b"email,First Name,first_name\na@example.com,x,y\n", "first_name"),
        (b"\x00\x01\x02", "list"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(starter: Starter, content: bytes, sentence: str) -> None:
    starter.list.write_bytes(content)
    said = starter("--list", starter.list, "--dev", "--json", code=2)
    assert sentence in said.error
    assert said.out == ""


def test_a_list_that_is_missing_is_named(starter: Starter) -> None:
    assert "nowhere.csv" in starter("--list", starter.folder / "nowhere.csv", code=2).error


def test_a_list_without_a_message_says_where_one_may_lie(starter: Starter) -> None:
    starter.message.unlink()
    assert "--message" in starter("--list", starter.list, code=2).error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_PORT", "mail"),
        ("SMTP_TLS", "ssl"),
        ("BATCH_CONNECTIONS", "0"),
        ("BATCH_RETRY_DELAYS", "1 fortnight"),
        ("BATCH_GIVE_UP_AFTER", "0s"),
        ("BATCH_HEARTBEAT_TIMEOUT", "-1s"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_what_was_found(
    starter: Starter, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    said = starter("--list", starter.list, code=2)
    assert name in said.error
    assert value in said.error


def test_an_admin_in_the_settings_who_has_no_address_is_refused(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_EMAIL", "boss@example.com, nobody")
    assert "ADMIN_EMAIL: 'nobody'" in starter("--list", starter.list, code=2).error


def test_without_a_server_the_sentence_names_its_address_and_dev(starter: Starter) -> None:
    said = starter("--list", starter.list, "--json", code=3)
    assert "127.0.0.1:1" in said.error
    assert "--dev" in said.error
    assert said.out == ""


def test_a_store_that_cannot_be_used_is_out_of_reach(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCH_STORE", str(starter.list / "store"))
    assert "store" in starter("--list", starter.list, code=3).error


def test_debug_shows_where_an_error_comes_from(starter: Starter) -> None:
    quiet = starter("--list", "nowhere.csv", code=2)
    loud = starter("--list", "nowhere.csv", "--debug", code=2)
    assert "Traceback" not in quiet.err
    assert "Traceback" in loud.err
    assert quiet.error == loud.error


def test_help_shows_every_option_in_its_group_and_every_exit_code(starter: Starter) -> None:
    said = starter("--help", code=0)
    options = [option for parameter in get_command(app).params for option in parameter.opts]
    assert len(options) >= 18
    for word in (*options, "Examples:", "Exit codes:", "130", "starter.py --dev --list examples/emails.csv"):
        assert word in said.out
    assert said.err == ""


def test_what_a_list_holds_cannot_command_the_terminal(starter: Starter) -> None:
    starter.message.write_text('---\nsubject: "a \\e[31m b"\nfrom: a@example.org\n---\nHello\n')
    said = starter("--list", starter.list, "--dry-run", "--subject", "red \x1b[31m {{ email }}", code=0)
    assert "\x1b" not in said.out + said.err


def test_rows_left_out_are_listed_with_line_and_reason_ten_at_most(starter: Starter) -> None:
    starter.list.write_text(LIST + "".join(f"nobody{n},x\n" for n in range(12)))
    said = starter("--list", starter.list, "--dry-run", code=0)
    assert "12 rows left out" in said.err
    assert "line 4: " in said.err
    assert "line 13: " in said.err
    assert "line 14: " not in said.err
    found = re.search(r"and 2 more: (\S+)", said.err)
    assert found is not None
    assert len((starter.folder / found[1]).read_text().splitlines()) == 12

"""Which command is called: options may stand before its word, and a word that is none is named."""

from __future__ import annotations

import pytest

from tests.pure.starter_calls import Starter, starter

__all__ = ["starter"]


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["--dev", "frobnicate", "X"], ["customers.csv"], ["Status", "X"]]
)
def test_an_unknown_command_is_named_with_the_known_ones(starter: Starter, arguments: list[str]) -> None:
    said = starter(*arguments, code=2)
    unknown = next(one for one in arguments if not one.startswith("-"))
    assert f"No such command: {unknown}; there are pause, resume, cancel, status and purge" in said.error
    assert "a list is given with --list" in said.error
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--debug", "status", "X"], "No Temporal server answers"),
        (["--", "status", "X"], "No Temporal server answers"),
        (["--debug", "cancel", "X"], "No Temporal server answers"),
        (["--json", "purge", "X"], "has no batch X"),
        (["--older-than", "90 days", "purge"], "--older-than '90 days' cannot be used"),
        (
            ["--connections", "5", "status", "X"],
            "No such option: --connections: see python starter.py status",
        ),
        (["--list", "list.csv", "cancel", "X"], "No such option: --list: see python starter.py cancel"),
    ],
)
def test_an_option_before_the_command_is_read_as_behind_it(
    starter: Starter, arguments: list[str], sentence: str
) -> None:
    code = 3 if sentence.startswith("No Temporal") else 2
    assert sentence in starter(*arguments, code=code).error


def test_an_options_value_is_no_command(starter: Starter) -> None:
    said = starter("--subject", "cancel", "--list", starter.list, "--dry-run", code=0)
    assert "Subject: cancel" in said.out
    assert "The list status does not exist" in starter("--list", "status", code=2).error

"""The unit for systemd: one that systemd takes, and true to the worker that it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from batchmail.errors import SettingsError
from batchmail.settings import CHECKOUT, Settings
from tests.dockerfile import read_stages

UNIT = CHECKOUT / "deploy" / "systemd" / "batchmail-worker.service"
PLACE = "/opt/batchmail"

LINES = [(name, value) for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)]


def all_of(name: str) -> list[str]:
    """Every value of this key, in order."""
    return [value for key, value in LINES if key == name]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("broken", [False, True], ids=["as it is", "misspelt"])
def test_systemd_takes_it(tmp_path: Path, broken: bool) -> None:
    text = UNIT.read_text().replace(PLACE, str(CHECKOUT))
    here = tmp_path / UNIT.name
    here.write_text(text.replace("KillMode", "KilMode") if broken else text)
    said = subprocess.run(
        ["systemd-analyze", "verify", str(here)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in said.stderr.splitlines() if UNIT.name in line]
    assert bool(complaints) == broken, complaints


def test_it_runs_the_worker_of_the_checkout() -> None:
    (command,) = all_of("ExecStart")
    python, *words = command.split()
    assert python == f"{PLACE}/.venv/bin/python"
    assert ("python", *words[:1]) == read_stages()[-1].last("CMD").words
    assert all_of("WorkingDirectory") == [PLACE]


def test_its_worker_has_more_time_to_stop_than_it_takes() -> None:
    (seconds,) = map(int, all_of("TimeoutStopSec"))
    grace: timedelta = Settings.model_fields["batch_grace"].default
    assert seconds >= 2 * grace.total_seconds()


def test_a_wrong_setting_does_not_start_it_for_ever() -> None:
    assert all_of("RestartPreventExitStatus") == [str(SettingsError.exit_code)]
    assert all_of("Restart") == ["on-failure"]


def test_what_it_sets_are_settings() -> None:
    names = {line.partition("=")[0].lower() for line in all_of("Environment")}
    assert names <= set(Settings.model_fields)
    assert f"BATCH_STATE=/var/lib/{all_of('StateDirectory')[0]}" in all_of("Environment")


def test_no_secret_stands_in_it() -> None:
    (credential,) = all_of("LoadCredential")
    assert f"SMTP_PASSWORD_FILE=%d/{credential.partition(':')[0]}" in all_of("Environment")

"""README's table of settings and the settings themselves say the same."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from batchmail.batch.options import DEFAULT_RETRY_DELAYS
from batchmail.settings import Settings, duration, durations, percentage

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
ROWS = dict(
    re.findall(
        r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|([^|]*)\|", README.partition("<!-- settings")[2], re.MULTILINE
    )
)


def test_every_setting_has_its_row_and_every_row_its_setting() -> None:
    named = {name for cell in ROWS for name in re.findall(r"[A-Z_]+", cell)}
    assert named == {name.upper() for name in Settings.model_fields}


def test_the_defaults_are_those_of_the_program() -> None:
    fields = Settings.model_fields
    for cell, shown in ROWS.items():
        default = fields[cell.strip("`").lower()].default if "," not in cell else None
        literal = re.fullmatch(r"`([^`]+)`", shown.strip())
        if literal is None:
            continue
        if isinstance(default, timedelta):
            assert duration(literal[1]) == default
        elif isinstance(default, float):
            assert percentage(literal[1]) == default
        else:
            assert literal[1] == str(default)


def test_the_delays_of_deferred_recipients_are_those_of_the_program() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| `BATCH_GIVE_UP_AFTER`"))
    told = re.search(r"after ([^:]*) and ([^,]*), then every ([^;]*);", row)
    assert told is not None
    assert durations(f"{told[1]}, {told[2]}, {told[3]}") == (*DEFAULT_RETRY_DELAYS, DEFAULT_RETRY_DELAYS[-1])

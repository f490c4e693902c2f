"""`make demo` in a clean clone: what somebody who has only just heard of the program tries first."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import processes_with
from tests.program.bench import CHECKOUT

_SECONDS = 100


class Clone:
    """A clone of what is committed, set up with the packages that run this test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "--quiet", CHECKOUT, folder], check=True, timeout=_SECONDS)
        self._set_up()

    def _set_up(self) -> None:
        """An environment as setup.sh leaves it, without the network: it has every package already."""
        environment = self.folder / ".venv"
        environment.mkdir()
        for entry in Path(sys.prefix).iterdir():
            if entry.name != "uv.lock.installed":
                (environment / entry.name).symlink_to(entry)
        shutil.copy(self.folder / "uv.lock", environment / "uv.lock.installed")

    def demo(self) -> str:
        """What `make demo` says on stdout; it must succeed, and leave no process behind."""
        mark = str(self.folder)
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "MAKE"))
        }
        ended = subprocess.run(
            ["make", "demo"],
            cwd=self.folder,
            env=ours | {"TEST_DEMO": mark},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        assert ended.returncode == 0, ended.stderr
        assert not processes_with(f"TEST_DEMO={mark}")
        return ended.stdout

    def mails(self) -> set[Path]:
        """What lies in the local mailbox."""
        return set((self.folder / "var" / "mailbox" / "new").iterdir())

    def outcomes(self) -> Counter[str]:
        """How many rows of the one report have which outcome."""
        (report,) = (self.folder / "var" / "store" / "batches").glob("*/report.csv")
        with report.open(newline="") as file:
            return Counter(row["outcome"] for row in csv.DictReader(file))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clean clone."""
    return Clone(tmp_path_factory.mktemp("clean") / "clone")


def test_the_example_list_through_make_demo_in_a_clean_clone_mails_everybody_once(clone: Clone) -> None:
    said = clone.demo()
    mails = clone.mails()
    assert len(mails) == 10
    assert clone.outcomes() == {"sent": 10}
    assert "Message-ID" in said, "one of the mails is shown"

    clone.demo()
    assert clone.mails() == mails, "the same command mails nobody again"
    assert clone.outcomes() == {"sent": 10}
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone.folder, capture_output=True, text=True, check=True
    )
    assert changed.stdout == "", "all that the demo leaves is below var/"

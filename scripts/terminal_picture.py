"""Draw docs/terminal.svg: a batch of 20,000 recipients, killed on the way, and the same command again.

    python -m scripts.terminal_picture

Everything in the picture was printed in the run that drew it; only the folder of the run is shortened.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

CHECKOUT = Path(__file__).resolve().parents[1]
PICTURE = CHECKOUT / "docs" / "terminal.svg"
RECIPIENTS = 20_000
KILL_AT = re.compile(r"^[ 1-9]?[3-9],\d{3} of")
NO_FONTS_FROM_ELSEWHERE = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
COMMAND = "python starter.py --dev --list emails.csv"


def main() -> None:
    """Run it and draw it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = "".join(f"reader-{number}@example.com,Reader {number}\n" for number in range(RECIPIENTS))
        (folder / "emails.csv").write_text("email,First Name\n" + lines)
        (folder / "message.md").write_text(
            "---\nsubject: News for {{ first_name }}\nfrom: News <news@example.org>\n---\n"
            "Dear **{{ first_name }}**, the news.\n"
        )
        console = Console(record=True, width=100, file=StringIO(), highlight=False)
        for killed in (True, False):
            console.print(f"[bold green]$[/] [bold]{COMMAND}[/]")
            _run(folder, console, kill=killed)
            if killed:
                console.print(
                    "[bold red]Killed[/]                          [dim]# kill -9, at this moment[/]\n"
                )
        console.save_svg(str(PICTURE), title="batchmail", code_format=NO_FONTS_FROM_ELSEWHERE)
        sys.stdout.write(f"drawn: {PICTURE}\n")


def _run(folder: Path, console: Console, *, kill: bool) -> None:
    environment = os.environ | {"BATCH_STATE": str(folder / "var"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, str(CHECKOUT / "starter.py"), "--dev", "--list", "emails.csv"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            shown = line.rstrip().replace(str(folder), "~/news")
            console.print(Text.from_ansi(shown), soft_wrap=True, crop=True)
            if kill and KILL_AT.match(shown):
                process.send_signal(signal.SIGKILL)
                break


if __name__ == "__main__":
    main()

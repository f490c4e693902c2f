"""starter.py as its users run it: a process of its own, with or without a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from tests.relays import RelayProcess

CHECKOUT = Path(__file__).resolve().parents[2]
_SECONDS = 60.0
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

MESSAGE = "---\nsubject: Hello {{ first_name }}\nfrom: Club <club@example.org>\n---\nDear {{ first_name }},\n"


class Ended(NamedTuple):
    """What a call came to; at a terminal `err` is all that the terminal showed."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object, alone on stdout on one line."""
        assert self.out.count("\n") == 1, self
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


class StarterProcess:
    """One running starter. With `terminal`, stdin and stderr are a terminal, and one can `type` to it."""

    def __init__(self, arguments: list[str], environment: dict[str, str], *, terminal: bool = False) -> None:
        self._err = b""
        self._news = threading.Condition()
        here, there = pty.openpty() if terminal else os.pipe()
        self._terminal = here if terminal else None
        self._process = subprocess.Popen(
            [sys.executable, str(CHECKOUT / "starter.py"), *arguments],
            env=os.environ | environment | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=there if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=there,
            start_new_session=True,
        )
        os.close(there)
        self._reader = threading.Thread(target=self._read, args=(here,), daemon=True)
        self._reader.start()

    def wait_for(self, text: str) -> None:
        """Until it has said `text` on stderr."""
        with self._news:
            if not self._news.wait_for(lambda: text in self._said(), _SECONDS):
                raise TimeoutError(f"the starter has not said {text!r}: {self._said()}")

    def type(self, text: str) -> None:
        """As a person at the keyboard."""
        assert self._terminal is not None
        os.write(self._terminal, text.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def ended(self, code: int | None = None) -> Ended:
        """Wait for its end, which must have this exit code."""
        out, _ = self._process.communicate(timeout=_SECONDS)
        self._reader.join(_SECONDS)
        found = Ended(self._process.returncode, out.decode(), self._said())
        assert code is None or found.code == code, found
        return found

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._reader.join(10)

    def _said(self) -> str:
        return _STYLE.sub("", self._err.decode(errors="replace"))

    def _read(self, handle: int) -> None:
        while True:
            try:
                data = os.read(handle, 65536)
            except OSError:  # what a terminal says when nobody is at its other end any more
                data = b""
            with self._news:
                self._err += data
                self._news.notify_all()
            if not data:
                os.close(handle)
                return


class Desk:
    """A folder with list, message and state, and the starter to be called on them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.list = folder / "list.csv"
        self.environment = {"BATCH_STATE": str(self.state)} | environment
        self._running: list[StarterProcess] = []
        (folder / "message.txt").write_text(MESSAGE)

    def write_list(self, recipients: int, *, first_name: str = "Ada") -> None:
        """A list of reader-1@example.com and so on; the first one is called `first_name`."""
        rows = [f"reader-{number}@example.com,Reader {number}\n" for number in range(2, recipients + 1)]
        self.list.write_text("".join(["email,First Name\n", f"reader-1@example.com,{first_name}\n", *rows]))

    def relay(self, relay: RelayProcess) -> None:
        """From now on mail through this relay."""
        self.environment |= {"SMTP_HOST": relay.host, "SMTP_PORT": str(relay.port)}

    def start(self, *arguments: str, terminal: bool = False, **settings: str) -> StarterProcess:
        """Start the starter on the list."""
        started = StarterProcess(
            ["--list", str(self.list), *arguments], self.environment | settings, terminal=terminal
        )
        self._running.append(started)
        return started

    def order(self, *arguments: str) -> StarterProcess:
        """Start it as `starter.py pause BATCH` and the like."""
        started = StarterProcess(list(arguments), self.environment)
        self._running.append(started)
        return started

    def call(self, *arguments: str, code: int, terminal: bool = False, **settings: str) -> Ended:
        """Start it and wait for its end, with this exit code."""
        return self.start(*arguments, terminal=terminal, **settings).ended(code)

    def mails(self) -> list[Path]:
        """What lies in the local mailbox."""
        return sorted((self.state / "mailbox" / "new").glob("*"))

    def stop(self) -> None:
        """End every starter that still runs."""
        for one in self._running:
            one.stop()

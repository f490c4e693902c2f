"""Where log lines go: never to the terminal, which has the command's own words, but with --debug."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from batchmail.engine.log_lines import LINE, LogLine
from batchmail.engine.runtime import prepare_runtime
from batchmail.errors import StoreError

_LARGEST = 5_000_000


def keep_logs(file: Path | None, *, debug: bool) -> None:
    """Log lines go to stderr with --debug, else to `file`, else nowhere. Raises StoreError."""
    prepare_runtime()
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # the mailbox's, which names recipients
    handler = _handler(file, debug=debug)
    handler.setFormatter(logging.Formatter(LINE) if debug else LogLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _handler(file: Path | None, *, debug: bool) -> logging.Handler:
    if debug:
        return logging.StreamHandler()
    if file is None:
        return logging.NullHandler()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return RotatingFileHandler(file, maxBytes=_LARGEST, backupCount=1, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{file} cannot be written ({error.strerror}): set BATCH_STATE to a folder you own."
        ) from None

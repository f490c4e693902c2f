"""A worker whose ledgers are of a version to come: `python newer_worker.py python worker.py …`.

It runs the worker's program, reads both versions, and writes one that the present worker cannot read.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any, Literal


def main() -> None:
    """Be that worker."""
    _, _, program, *arguments = sys.argv
    sys.argv = [program, *arguments]
    sys.path[0] = str(Path(program).parent)

    from batchmail.batch import ledger

    to_come: Any = 2
    ledger.VERSION = to_come
    version: Any = ledger.LedgerRecord.model_fields["v"]
    version.annotation, version.default = Literal[1, 2], 2
    ledger.LedgerRecord.model_rebuild(force=True)  # before other models are made of it
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()

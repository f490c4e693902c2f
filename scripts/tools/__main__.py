"""Print the path of each tool named, got first where it is not there: `python -m scripts.tools NAME…`."""

from __future__ import annotations

import sys

from batchmail.errors import BatchmailError
from scripts.tools import TOOLS


def main() -> int:
    """Returns the exit code."""
    for name in sys.argv[1:]:
        if name not in TOOLS:
            print(f"{name} is none of the tools: {', '.join(TOOLS)}.", file=sys.stderr)
            return 2
        try:
            print(TOOLS[name]())
        except BatchmailError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

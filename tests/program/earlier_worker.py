"""A worker from before some changes of the workflow: `python earlier_worker.py changes python worker.py …`.

It runs the worker's program, and new code of a batch takes the path from before each of these changes
(separated by commas; `all`, or the beginning of their names) wherever it does not replay what a later worker
did. That is what the worker did which knew nothing of them.
"""

from __future__ import annotations

import runpy
import sys
from functools import partial

import temporalio.worker
from temporalio.worker import PatchActivationInput


def main() -> None:
    """Be that worker."""
    changes, _, program, *arguments = sys.argv[1:]
    unknown = "" if changes == "all" else tuple(changes.split(","))

    def is_known(change: PatchActivationInput) -> bool:
        return not change.patch_id.startswith(unknown)

    temporalio.worker.Worker = partial(  # type: ignore[misc,assignment]
        temporalio.worker.Worker, patch_activation_callback=is_known
    )
    sys.argv = [program, *arguments]
    sys.path[0] = program.rpartition("/")[0]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()

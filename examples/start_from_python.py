"""Start a batch from a program, by the workflow's name, and await its result.

    python examples/start_from_python.py LIST MESSAGE

Needs a running worker that can read both files, and of Python packages only temporalio. TEMPORAL_ADDRESS and
all else that Temporal's own tools read say where the server is; BATCH_TASK_QUEUE is the worker's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.envconfig import ClientConfig


async def mail(client: Client, emails: Path, message: Path) -> dict[str, Any]:
    """The result of the batch: how many were sent, rejected and so on, and where the report is."""
    handle = await client.start_workflow(
        "BatchEmailWorkflow",
        {
            "list": str(emails.absolute()),
            "message_location": str(message.absolute()),
            "options": {"connections": 10, "in_doubt": "resend"},
        },
        # Who starts a batch of this id again attaches to it, or gets the result it ended with.
        id=f"{emails.stem}-{message.stem}",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        task_queue=os.environ.get("BATCH_TASK_QUEUE", "batchmail"),
        result_type=dict[str, Any],
    )
    print(f"batch {handle.id} is on its way", file=sys.stderr)
    result: dict[str, Any] = await handle.result()
    return result


async def main(emails: str, message: str) -> None:
    """Mail, and print the result as JSON."""
    server = ClientConfig.load_client_connect_config()
    server.setdefault("target_host", "localhost:7233")
    try:
        result = await mail(await Client.connect(**server), Path(emails), Path(message))
    except WorkflowFailureError as error:
        sys.exit(f"error: {error.cause}")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
    # A thread of the SDK may still be at work, and the interpreter's end is no place to meet it.
    sys.stdout.flush()
    os._exit(0)

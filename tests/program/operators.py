"""An operator at the steps of a batch: `temporal activity reset`, `pause`, `unpause`, as they are typed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from temporalio.api.workflow.v1 import PendingActivityInfo

from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import Settings
from tests.program.bench import Bench, Handle

SLICE = "send_slice"


async def activity(bench: Bench, handle: Handle, *words: str, kind: str = SLICE) -> None:
    """`temporal activity …` for each pending activity of a kind: `words` are the command and its flags."""
    address = bench.environment["TEMPORAL_ADDRESS"]
    program = find_temporal(Settings().batch_temporal_cli, print)
    named = [one.activity_id for one in await pending(handle, kind)]
    assert named, f"no {kind} is pending"
    for activity_id in named:
        process = await asyncio.create_subprocess_exec(
            program,
            *("activity", *words, "--address", address),
            *("--workflow-id", handle.id, "--activity-id", activity_id),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()


async def pending(handle: Handle, kind: str = SLICE) -> Sequence[PendingActivityInfo]:
    """The batch's steps of a kind that have not ended."""
    described = (await handle.describe()).raw_description
    return [one for one in described.pending_activities if one.activity_type.name == kind]


async def until_each(handle: Handle, seen: Callable[[PendingActivityInfo], bool], kind: str = SLICE) -> None:
    """Until there are pending steps of a kind, and each is as it is to be `seen`."""
    async with asyncio.timeout(60):
        while not (found := await pending(handle, kind)) or not all(map(seen, found)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

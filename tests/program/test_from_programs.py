"""A batch started by a program, or by Temporal's command line, with nothing of ours: only names and JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from batchmail.engine.temporal_cli import find_temporal
from batchmail.settings import Settings
from tests.program.bench import CHECKOUT, Bench
from tests.program.search import is_found
from tests.relays import Behaviour, Fault

pytestmark = pytest.mark.usefixtures("written")

EXAMPLE = str(CHECKOUT / "examples" / "start_from_python.py")


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


async def call(bench: Bench, *command: str) -> Said:
    """Run a command beside list and message, on the bench's server."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=bench.folder,
        env=os.environ | bench.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(process.returncode or 0, out.decode(), err.decode())


async def temporal(bench: Bench, *arguments: str) -> Said:
    """Run Temporal's command line."""
    program = await asyncio.to_thread(find_temporal, Settings().batch_temporal_cli, print)
    return await call(bench, str(program), *arguments)


@pytest.fixture
def written(bench: Bench) -> None:
    """emails.csv and message.txt in the bench's folder."""
    rows = "".join(f"reader-{number}@example.com,Reader {number}\n" for number in range(1, 11))
    (bench.folder / "emails.csv").write_text(f"email,First Name\n{rows}")
    (bench.folder / "message.txt").write_text(
        "---\nsubject: News for {{ first_name }}\nfrom: news@sender.example\n---\nDear {{ first_name }},\n"
    )


def given(bench: Bench, **more: Any) -> dict[str, Any]:
    """An input by locations."""
    folder = bench.folder
    return {"list": f"{folder}/emails.csv", "message_location": f"{folder}/message.txt"} | more


async def test_the_example_starts_a_batch_and_prints_its_result(bench: Bench) -> None:
    await bench.worker()
    said = await call(bench, sys.executable, EXAMPLE, "emails.csv", "message.txt")
    assert said.code == 0, said
    result = json.loads(said.out)
    assert (result["batch_id"], result["status"]) == ("emails-message", "completed")
    assert result["total"] == result["sent"] == 10
    assert Path(result["report"]).is_file()
    again = await call(bench, sys.executable, EXAMPLE, "emails.csv", "message.txt")
    assert json.loads(again.out) == result
    assert sum(bench.accepted().values()) == 10, "starting twice is harmless"


async def test_the_example_says_why_a_batch_cannot_be(bench: Bench) -> None:
    await bench.worker()
    said = await call(bench, sys.executable, EXAMPLE, "none.csv", "message.txt")
    assert said.code == 1
    assert "none.csv does not exist" in said.err.splitlines()[-1]
    assert "Traceback" not in said.err


async def test_temporals_command_line_starts_watches_and_lists_a_batch(bench: Bench) -> None:
    await bench.worker()
    batch = f"spring-news-{bench.folder.name}"
    started = ("--type", "BatchEmailWorkflow", "--task-queue", bench.queue, "--workflow-id", batch)
    said = await temporal(bench, "workflow", "execute", *started, "--input", json.dumps(given(bench)))
    assert said.code == 0, said
    assert '"sent":10' in said.out
    named = ("--workflow-id", batch)
    await is_found(bench.client, batch, f"WorkflowId = '{batch}'")
    listed = await temporal(bench, "workflow", "list", "--query", f"WorkflowId = '{batch}'")
    assert batch in listed.out
    assert "BatchEmailWorkflow" in listed.out
    asked = await temporal(bench, "workflow", "query", "--type", "progress", *named)
    assert '"doing":"done"' in asked.out
    assert '"sent":10' in asked.out
    shown = await temporal(bench, "workflow", "metadata", *named)
    assert "**Done: `" in shown.out
    assert "| sent | 10 |" in shown.out
    read = await temporal(bench, "workflow", "result", "--output", "json", *named)
    assert json.loads(read.out)["result"]["sent"] == 10


@pytest.mark.behaviour(Behaviour(faults=(Fault(stage="dot", do="hold", skip=50),)))
async def test_temporals_command_line_cancels_a_batch(bench: Bench) -> None:
    batch = f"cancelled-{bench.folder.name}"
    request = await bench.request(2_000)
    handle = await bench.client.start_workflow(
        "BatchEmailWorkflow", request, id=batch, task_queue=bench.queue, result_type=dict[str, Any]
    )
    await bench.worker()
    await bench.relay.wait_for(lambda event: event.event == "recorded", times=50)
    said = await temporal(bench, "workflow", "cancel", "--workflow-id", batch)
    assert said.code == 0, said
    bench.relay.release()
    result = await handle.result()
    assert result["status"] == "cancelled"
    assert result["sent"] + result["suppressed"] == 2_000


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([{"list": "emails.csv", "snapshot": "abc", "message": "abc"}], "not both"),
        (["emails.csv"], "it must be an object with the fields"),
        ([], "there is none: give a list and a message"),
    ],
)
async def test_an_input_that_does_not_fit_fails_the_batch_with_a_sentence(
    bench: Bench, inputs: list[Any], told: str
) -> None:
    await bench.worker()
    error = await refused(bench, *inputs)
    assert error.message.startswith("The batch's input cannot be used: ")
    assert told in error.message


async def test_temporals_command_line_shows_why_an_input_is_refused(bench: Bench) -> None:
    await bench.worker()
    started = ("--type", "BatchEmailWorkflow", "--task-queue", bench.queue, "--workflow-id", "refused")
    said = await temporal(bench, "workflow", "execute", *started, "--input", '{"lst": "emails.csv"}')
    assert said.code != 0
    assert "there is no field `lst` (did you mean `list`?)" in said.out + said.err


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("emails.csv", "", "emails.csv is empty"),
        ("emails.csv", "name\nAda\n", "emails.csv"),
        (
            "message.txt",
            "---\nsubject: News\nfrom: n@s.example\n---\n{{ nick }}\n",
            "line 5: emails.csv has no",
        ),
        ("message.txt", "---\nsubject: News\n---\nDear,\n", "MAIL_FROM"),
    ],
)
async def test_a_list_or_message_that_cannot_be_used_fails_the_batch_with_its_sentence(
    bench: Bench, name: str, text: str, told: str
) -> None:
    (bench.folder / name).write_text(text)
    await bench.worker()
    error = await refused(bench, given(bench))
    assert told in error.message
    assert error.message.endswith(".")
    assert not bench.accepted()


@pytest.mark.parametrize("missing", ["list", "message_location"])
async def test_a_location_with_nothing_there_fails_the_batch_with_its_sentence(
    bench: Bench, missing: str
) -> None:
    await bench.worker()
    error = await refused(bench, given(bench, **{missing: f"{bench.folder}/none.txt"}))
    assert f"{bench.folder}/none.txt" in error.message


async def refused(bench: Bench, *inputs: Any) -> ApplicationError:
    """Why a batch with this input has failed, as whoever awaits it is told."""
    handle = await bench.client.start_workflow(
        "BatchEmailWorkflow", args=inputs, id=f"refused-{bench.folder.name}", task_queue=bench.queue
    )
    with pytest.raises(WorkflowFailureError) as caught:
        async with asyncio.timeout(60):
            await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
    return caught.value.cause

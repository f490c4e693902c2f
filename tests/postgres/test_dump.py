"""Nothing personal in the engine: a dump of Temporal's databases names no recipient and quotes no message.

The dumps are taken at every state in which something of a recipient is at hand: while the relay refuses and
quotes them, while a killed worker's ledger waits for its next attempt, while the store is at fault, after the
end, after a cancel and after a terminate.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import zlib

import pytest

from batchmail.batch.ledger import LedgerRecord
from batchmail.batch.result import BatchResult
from scripts.server import Stack
from tests.dumps import readings, words_in
from tests.program.bench import Bench, Handle, waiting
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.process import Event

RECIPIENTS = 24
ADMIN = "numbat@admins.example"

LIST = "Empfänger-pangolin.csv"
"""The list's name is shown in Temporal, and may be: so it must be found."""

ADDRESSES = (
    "okapi-1@bücher-lager.example",
    "Okapi-2@bücher-lager.example",
    "o'kapi+3@quokka-heim.example",
    *(f"okapi-{number}@quokka-heim.example" for number in range(4, RECIPIENTS + 1)),
)
NAMES = tuple(f"Günther{number} Wolpertinger{number}" for number in range(1, RECIPIENTS + 1))
PARTS = ("okapi", "o'kapi", "bücher-lager", "xn--bcher-lager-9db", "quokka", "günther", "wolpertinger")
SUBJECT = "Rhabarber für {{ first_name }}"
TEXT = (
    "Lieber {{ first_name }}, {{ 100 // (points | int) }} Topinambur: https://mispel.example/?wer={{ email }}"
)
WORDS = ("rhabarber", "topinambur", "mispel")
SECRET = (*ADDRESSES, *NAMES, *PARTS, *WORDS)

REFUSED_BY_QUOTING = Behaviour(
    faults=(Fault(stage="rcpt", reply=f"554 5.7.1 <{ADDRESSES[3]}>: Relay access denied"),)
)
EVERY_OUTCOME = Behaviour(
    faults=(
        Fault(stage="rcpt", reply="550 5.1.1 <okapi-4@quokka-heim.example>: no okapi", match="okapi-4@"),
        Fault(stage="dot", reply="554 5.7.1 Rhabarber is spam", match="okapi-5@"),
        Fault(stage="rcpt", reply="450 4.2.0 greylisted okapi-6", match="okapi-6@"),
        Fault(stage="recorded", do="drop", match="okapi-7@"),
        Fault(stage="data", reply="451 4.3.0 okapi-8 later", match="okapi-8@", times=1),
        Fault(stage="rcpt", do="drop", match="okapi-9@", times=1),
    )
)
NO_POINTS = 10
"""The number of the recipient for whom the message cannot be filled."""


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """The starter, with a list and a message whose words are nowhere else."""
    desk.list = desk.folder / LIST
    rows = [
        f"{address},{name},{0 if number == NO_POINTS else number}"
        for number, (address, name) in enumerate(zip(ADDRESSES, NAMES, strict=True), 1)
    ]
    desk.list.write_text("\n".join(["email,First Name,Points", *rows, ""]))
    message = f"---\nsubject: {SUBJECT}\nfrom: Club <club@sender.example>\n---\n{TEXT}\n"
    (desk.folder / "message.txt").write_text(message)
    return desk


async def test_no_dump_at_any_moment_names_a_recipient_or_quotes_the_message(
    bench: Bench, desk: Desk, stack: Stack
) -> None:
    dumps: list[bytes] = []

    async def dump() -> None:
        for database in ("temporal", "temporal_visibility"):
            dumps.append(await asyncio.to_thread(stack.postgres.dump, database))

    bench.relay.behave(REFUSED_BY_QUOTING)
    victim = await bench.worker(arm="body_sent:9=kill")
    handle = begin(bench, desk, bench.batch)
    await waits_for(handle, "554")
    await dump()

    bench.relay.behave(EVERY_OUTCOME)
    assert await victim.ended() == -signal.SIGKILL
    states = await last_ledger(handle)
    assert set(states) > set(b"PS"), "some are named or settled, others pending"
    await dump()
    assert states in set(readings(dumps[-2])), "the dump has the ledger, and it is read down to its rows"

    obstacle = bench.store.root / "batches" / handle.id / "outcomes"
    obstacle.write_text("a file where a folder must be")
    await bench.worker()
    await waits_for(handle, str(bench.store))
    await dump()

    obstacle.unlink()
    result = await handle.result()
    assert min(result.sent, result.rejected, result.expired, result.unknown) > 0
    assert (await cancelled(bench, desk)).suppressed > 0
    gone = await terminated(bench, desk)
    await dump()

    said = b"\n".join(dumps)
    allowed = {ADMIN, LIST, result.batch_id, gone.id}
    assert words_in(said, allowed) == allowed
    assert words_in(said, SECRET) == set()


async def test_an_address_that_gets_into_temporal_is_found(bench: Bench, stack: Stack) -> None:
    planted = "aardvark@erdferkel.example"
    handle = await bench.client.start_workflow("Nobody", id=bench.batch, task_queue="nobody")
    await handle.signal("told", f"550 <{planted}>: no such user")
    await handle.terminate()
    found = words_in(await asyncio.to_thread(stack.postgres.dump, "temporal"), [planted, *SECRET])
    assert found == {planted}


async def test_values_lie_in_the_database_as_the_search_reads_them(stack: Stack) -> None:
    """Another encoding than these (some compression) would blind the search."""
    columns = stack.postgres.query(
        "temporal",
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE column_name LIKE '%encoding' AND table_schema = 'public'",
    ).split()
    assert len(columns) > 10
    encodings = {
        found
        for table, column in (column.split("|") for column in columns)
        for found in stack.postgres.query("temporal", f"SELECT DISTINCT {column} FROM {table}").split()
    }
    assert encodings <= {"Proto3", "Json"}


# How it is done


def begin(bench: Bench, desk: Desk, batch_id: str) -> Handle:
    """Start a batch by the command, all in one slice."""
    options = ["--slice-size", str(RECIPIENTS), "--connections", "2", "--in-doubt", "hold", "--again"]
    desk.call(
        *("--batch-id", batch_id, "--admin", ADMIN, "--detach", *options),
        code=0,
        BATCH_RETRY_DELAYS="0.2s,0.2s",
        BATCH_HEARTBEAT_TIMEOUT="5s",
        BATCH_RETRY_INTERVAL="0.2s",
    )
    return bench.client.get_workflow_handle(batch_id, result_type=BatchResult)


async def waits_for(handle: Handle, what: str) -> None:
    """Until the batch says that it waits for this."""
    async with asyncio.timeout(60):
        while what not in (await waiting(handle)).waiting[0].what:  # noqa: ASYNC110 - a worker tells it
            await asyncio.sleep(0.1)


async def cancelled(bench: Bench, desk: Desk) -> BatchResult:
    """What a batch comes to that is cancelled while its first mails are on their way."""
    handle = await slow(bench, desk, "cancelled")
    await handle.cancel()
    return await handle.result()


async def terminated(bench: Bench, desk: Desk) -> Handle:
    """A batch that was terminated while its first mails were on their way."""
    handle = await slow(bench, desk, "terminated")
    await handle.terminate("as an operator would")
    return handle


async def slow(bench: Bench, desk: Desk, name: str) -> Handle:
    """A batch whose first mails are on their way, at a relay that takes a second over each."""
    bench.relay.behave(Behaviour(faults=(Fault(stage="dot", do="delay", seconds=1.0),)))
    before = sum(map(is_a_mail, bench.relay.events()))
    handle = begin(bench, desk, f"{bench.batch}-{name}")
    await bench.relay.wait_for(is_a_mail, times=before + 1)
    return handle


def is_a_mail(event: Event) -> bool:
    """A whole mail has arrived at the relay, which has not answered yet."""
    return event.event == "dot"


async def last_ledger(handle: Handle) -> bytes:
    """The rows of the ledger that the slice's last heartbeat told, one byte each."""
    pending = (await handle.describe()).raw_description.pending_activities
    (details,) = [one.heartbeat_details.payloads[0] for one in pending]
    return zlib.decompress(base64.b64decode(LedgerRecord.model_validate_json(details.data).states))

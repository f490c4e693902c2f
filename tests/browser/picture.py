"""Draw docs/web-ui.png: a batch of 5,000 on its way, as Temporal's Web UI shows it.

python -m tests.browser.picture
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from batchmail.batch.options import ListFacts
from batchmail.client import start
from batchmail.engine.connect import connect
from scripts.server import Stack
from tests.browser.web_ui import create_search_attributes, opened
from tests.program.bench import CHECKOUT, Bench
from tests.relays import Behaviour, Fault, RelayProcess

PICTURE = CHECKOUT / "docs" / "web-ui.png"
QUEUE = "batchmail"

RELAY = Behaviour(
    faults=(
        Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-[0-9]*31@"),
        Fault(stage="rcpt", reply="450 4.2.0 try again later", match="reader-[0-9]*77@"),
        Fault(stage="rcpt", do="hold", match="reader-3[67]00@"),
    )
)


async def draw(stack: Stack, folder: Path) -> None:
    """Mail most of a list, and take the picture."""
    await create_search_attributes(stack)
    client = await connect(address=stack.address, namespace=stack.namespace)
    relay = RelayProcess(folder / "relay", RELAY)
    bench = Bench(client, stack.address, folder, relay, RELAY, "100")
    bench.queue = bench.environment["BATCH_TASK_QUEUE"] = QUEUE
    try:
        await bench.worker()
        request = await bench.request(
            5_000, connections=10, slice_size=500, retry_delays=(timedelta(minutes=15),)
        )
        batch = await start(
            client,
            bench.store,
            "spring-news",
            request.model_copy(update={"list_facts": ListFacts(name="newsletter.csv")}),
            task_queue=QUEUE,
            summary="newsletter.csv: 5,000 recipients",
        )
        async with opened(stack, client) as web_ui:
            await bench.relay.wait_for(lambda event: event.event == "recorded", times=3_800, seconds=60)
            await web_ui.find(batch.id, 'BatchmailStatus="mailing"')
            _, details = await web_ui.metadata()
            await details.get_by_text("not settled yet").wait_for()
            await web_ui.page.screenshot(path=PICTURE)
    finally:
        bench.stop()
        relay.stop()


def main() -> None:
    """Do it on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="batchmail-") as name:
        folder = Path(name)
        with Stack(folder / "server", ui=True) as stack:
            asyncio.run(draw(stack, folder))
    print(f"{PICTURE.relative_to(CHECKOUT)}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

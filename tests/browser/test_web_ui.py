"""A batch in Temporal's Web UI: found by what it does, read, cancelled, and seen to its end."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from batchmail.batch.result import Status
from batchmail.client import Batch, start
from tests.browser.web_ui import WebUi, row
from tests.program.bench import Bench, Handle
from tests.program.test_batch_pauses import until
from tests.relays import Behaviour, Fault

ADMIN = "admin@example.org"
REJECTS_ONE = Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-3@")
HOLDS_ONE = Fault(stage="rcpt", do="hold", match="reader-35@")
"""Of forty in slices of twenty: the first slice ends, the second does not."""

half_way = pytest.mark.behaviour(Behaviour(faults=(REJECTS_ONE, HOLDS_ONE)))


async def begun(bench: Bench, name: str) -> Batch:
    """A batch of forty, as the starter starts it."""
    await bench.worker()
    request = await bench.request(40, connections=2, slice_size=20, admins=(ADMIN,))
    return await start(
        bench.client, bench.store, name, request, task_queue=bench.queue, summary="emails.csv: 40 recipients"
    )


async def half_done(bench: Bench, name: str) -> Batch:
    """The same, once its first slice has ended and its second waits for the relay's answer."""
    batch = await begun(bench, name)
    await bench.relay.wait_for(lambda event: event.event == "rcpt" and "reader-35@" in event.address)
    handle: Handle = bench.client.get_workflow_handle(batch.id)
    await until(handle, lambda progress: sum(progress.settled.values()) == 20)
    return batch


@half_way
async def test_a_batch_under_way_is_found_by_its_state_and_shows_its_counts(
    bench: Bench, web_ui: WebUi
) -> None:
    batch = await half_done(bench, "seen-under-way")
    await web_ui.find(batch.id, 'BatchmailStatus="mailing" AND BatchmailList="emails-40.csv"')
    await expect(web_ui.page.get_by_text("send_slice • recipients 21–40")).to_be_visible()
    summary, details = await web_ui.metadata()
    await expect(summary.get_by_text("emails.csv: 40 recipients")).to_be_visible()
    await expect(details.get_by_text("Mailing: emails-40.csv")).to_be_visible()
    assert await row(details, "sent") == ["sent", "19", "47.5"]
    assert await row(details, "rejected") == ["rejected", "1", "2.5"]
    assert await row(details, "not settled yet") == ["not settled yet", "20", "50.0"]
    bench.relay.release()
    assert (await batch.result()).sent == 39
    await web_ui.find(batch.id, 'BatchmailStatus="done" AND BatchmailNotSent>0')
    _, details = await web_ui.metadata()
    await expect(details.get_by_text("Done: emails-40.csv")).to_be_visible()
    assert await row(details, "sent") == ["sent", "39", "97.5"]


@half_way
async def test_the_web_uis_cancel_settles_reports_and_tells_the_admins(bench: Bench, web_ui: WebUi) -> None:
    batch = await half_done(bench, "seen-cancelled")
    await web_ui.find(batch.id, 'BatchmailStatus="mailing"')
    await web_ui.cancel()
    await web_ui.find(batch.id, 'BatchmailStatus="cancelling"')
    bench.relay.release()
    result = await batch.result()
    assert (result.status, result.total, result.admin_notified) == (Status.CANCELLED, 40, True)
    assert 0 < result.suppressed < 20
    assert result.sent + result.suppressed == 39
    bench.assert_the_promise(result)
    assert bench.accepted()[ADMIN] == 1
    await web_ui.find(batch.id, f'BatchmailStatus="cancelled" AND BatchmailNotSent={result.suppressed + 1}')
    _, details = await web_ui.metadata()
    await expect(details.get_by_text("Cancelled: emails-40.csv")).to_be_visible()
    assert (await row(details, "suppressed"))[1] == str(result.suppressed)


@half_way
async def test_a_batch_that_the_web_ui_terminates_goes_on_with_the_same_command(
    bench: Bench, web_ui: WebUi
) -> None:
    batch = await half_done(bench, "seen-terminated")
    await web_ui.find(batch.id, 'BatchmailStatus="mailing"')
    await web_ui.terminate()
    await web_ui.find(batch.id, 'ExecutionStatus="Terminated" AND BatchmailStatus="mailing"')
    bench.relay.release()
    again = await begun(bench, batch.id)
    assert again.began
    result = await again.result()
    await bench.all_connections_closed()
    bench.assert_the_promise(result)
    assert (result.sent, result.rejected, result.admin_notified) == (39, 1, True)


async def test_a_batch_that_waits_is_found_and_says_what_for(bench: Bench, web_ui: WebUi) -> None:
    bench.relay.stop_accepting()
    batch = await begun(bench, "seen-waiting")
    await web_ui.find(batch.id, 'BatchmailStatus="waiting"')
    _, details = await web_ui.metadata()
    await expect(details.get_by_text("Waiting since")).to_contain_text("relay")
    bench.relay.accept()
    bench.assert_everyone_once(await batch.result())

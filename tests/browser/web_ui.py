"""Temporal's Web UI, as its users walk through it: by what they read and click."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from playwright.async_api import FrameLocator, Page, async_playwright, expect
from temporalio.client import Client

from batchmail.engine.connect import connect
from batchmail.engine.search_attributes import SearchAttributes
from scripts.server import Stack
from scripts.tools import chromium
from tests.program.search import is_found

QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)
"""A browser that asks nobody but the pages it is sent to."""

_PATIENCE = 60_000
expect.set_options(timeout=_PATIENCE)


class WebUi(NamedTuple):
    """One page in a browser."""

    page: Page
    url: str
    client: Client
    """The same server's, to know when its search has caught up."""

    async def find(self, batch: str, query: str) -> None:
        """Look for a batch by a query, as it is written in the Web UI, and open its page."""
        await is_found(self.client, batch, query)
        await self.page.goto(f"{self.url}/namespaces/default/workflows?{urlencode({'query': query})}")
        await self.page.get_by_role("link", name=batch, exact=True).click()
        await expect(self.page.get_by_test_id("workflow-id-heading")).to_contain_text(batch)

    async def metadata(self) -> tuple[FrameLocator, FrameLocator]:
        """Summary and current details of the batch whose page is shown, as of now."""
        await self.page.get_by_role("tab", name="User Metadata").click()
        await self.page.wait_for_url("**/user-metadata")
        await self.page.reload()
        shown = self.page.frame_locator('iframe[title="output"]')
        return shown.first, shown.last

    async def cancel(self) -> None:
        """Click the button of the batch's page, and confirm."""
        await self.page.get_by_role("button", name="Request Cancellation", exact=True).click()
        await self._confirm()

    async def terminate(self) -> None:
        """The same with the menu beside it."""
        await self.page.get_by_role("button", name="More Actions").click()
        await self.page.get_by_role("menuitem", name="Terminate").click()
        await self._confirm()

    async def _confirm(self) -> None:
        await self.page.get_by_role("dialog").get_by_test_id("confirm-modal-button").click()


@asynccontextmanager
async def opened(stack: Stack, client: Client) -> AsyncIterator[WebUi]:
    """A browser that shows it. No host but this machine is asked for anything."""
    asked: set[str | None] = set()
    program = await asyncio.to_thread(chromium)
    options = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=options)
        page = await browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
        page.set_default_timeout(_PATIENCE)
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
        yield WebUi(page, stack.ui_url, client)
        await browser.close()
    assert asked == {"127.0.0.1"}


async def create_search_attributes(stack: Stack) -> None:
    """As workers do that start one after the other: those after the first find them there."""
    client = await connect(address=stack.address, namespace=stack.namespace)
    async with asyncio.timeout(60):
        worker = SearchAttributes()
        while not worker.names:
            async with (worker := SearchAttributes()).prepared(client):
                pass


async def row(details: FrameLocator, name: str) -> list[str]:
    """The table's row of this name, once there is one."""
    found = details.get_by_role("row").filter(has=details.get_by_role("cell", name=name, exact=True))
    await expect(found).to_be_visible()
    return await found.get_by_role("cell").all_inner_texts()

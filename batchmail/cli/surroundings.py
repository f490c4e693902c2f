"""Where a batch runs: on the user's Temporal server with their workers, or with --dev all on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from temporalio.client import Client

from batchmail.cli.logs import keep_logs
from batchmail.cli.screen import Screen
from batchmail.cli.wishes import Wishes
from batchmail.engine.connect import connect
from batchmail.engine.dev_server import dev_server
from batchmail.engine.mailbox import mailbox
from batchmail.engine.ports import LOOPBACK
from batchmail.settings import Relay, Settings, Tls

Working = Callable[[Client, Settings, Relay], AbstractAsyncContextManager[None]]
"""Serves the task queue in this process while its context lasts; on leaving, slices hand back."""


UNVERSIONED = {"batch_deployment": None, "batch_build_id": None}
"""The embedded server knows of no deployment whose current build our worker could be."""


class Surroundings(NamedTuple):
    """What is there for a batch. `work` serves it meanwhile, if that is this process's task."""

    client: Client
    relay: Relay | None
    """The user's relay, where this process knows it."""
    mailbox: Path | None
    """Where mails lie that go to nobody."""
    work: Callable[[], AbstractAsyncContextManager[None]]
    workflow_url: Callable[[str], str | None]


@asynccontextmanager
async def surroundings(
    wishes: Wishes, settings: Settings, working: Working, screen: Screen
) -> AsyncIterator[Surroundings]:
    """Connect to Temporal; with --dev start first what is missing, and stop it on leaving.

    Raises EngineError, SettingsError, StoreError.
    """
    state = settings.batch_state.expanduser()
    keep_logs(state / "worker.log" if wishes.dev else None, debug=wishes.debug)
    if not wishes.dev:
        client = await connect()
        yield Surroundings(client, settings.relay, None, nullcontext, lambda _: None)
        return
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            dev_server(state, screen.say, cli=settings.batch_temporal_cli)
        )
        client = await connect(address=server.address)
        relay, folder = settings.relay, None
        if relay is None:
            folder = state / "mailbox"
            port = await stack.enter_async_context(mailbox(folder))
            relay = Relay(host=LOOPBACK, port=port, tls=Tls.NONE)
        yield Surroundings(
            client=client,
            relay=settings.relay,
            mailbox=folder,
            work=lambda: working(client, settings.model_copy(update=UNVERSIONED), relay),
            workflow_url=server.workflow_url,
        )

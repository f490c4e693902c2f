"""starter.py pause, resume, cancel and status: an operator's word to a batch that is under way."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated, NamedTuple

import typer
import uvloop

from batchmail.batch.options import BatchOptions
from batchmail.batch.orders import Order, command
from batchmail.batch.progress import Doing
from batchmail.batch.result import BatchResult
from batchmail.batch.standing import Silence, Standing
from batchmail.cli.help import GroupedHelp
from batchmail.cli.interruption import Interruption, interruptible
from batchmail.cli.names import answered_before, as_kept
from batchmail.cli.pace import Pace
from batchmail.cli.screen import Screen
from batchmail.cli.summary import exit_code, show_summary
from batchmail.cli.watching import amount, notes_on
from batchmail.client import Batch, find
from batchmail.engine.connect import connect
from batchmail.engine.dev_server import dev_server
from batchmail.errors import EngineError, RefusedError
from batchmail.settings import Settings, read_settings
from batchmail.store import Store

_WHERE = "Where it runs"
_HELP = {
    Order.PAUSE: "Pause a batch: what is under way is settled, then nobody is mailed until it is resumed.",
    Order.RESUME: "Let a paused batch go on. One that paused by itself, since too many were rejected, does "
    "not pause for that again.",
    Order.CANCEL: "End a batch: what is under way is settled, nobody new is mailed, and the report says who "
    "was not.",
    Order.STATUS: "Say how far a batch is, and what it waits for.",
}


class _OrderHelp(GroupedHelp):
    closing = (
        (
            "Exit codes",
            (
                ("0", "done, or it was so already"),
                ("1", "asked for the status: the batch has ended, and somebody was not sent"),
                ("2", "there is no such batch, or it has ended"),
                ("3", "Temporal or the store is out of reach, or no worker answers"),
            ),
        ),
    )


def app_for(order: Order) -> typer.Typer:
    """The command that gives this order."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    shown = type("Help", (_OrderHelp,), {"usage": f"python starter.py {order} BATCH [OPTIONS]"})

    @app.command(cls=shown, help=_HELP[order], context_settings={"help_option_names": ["-h", "--help"]})
    def give(
        context: typer.Context,
        batch: Annotated[str, typer.Argument(metavar="BATCH", show_default=False)],
        dev: Annotated[
            bool,
            typer.Option("--dev", help="The batch runs with --dev on this machine.", rich_help_panel=_WHERE),
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.", rich_help_panel=_WHERE)] = False,
    ) -> int:
        screen: Screen = context.obj
        call = Call(order, batch, dev, read_settings(), screen)
        return uvloop.run(interruptible(call.run, screen))

    return app


class Call(NamedTuple):
    """One call of one of these commands."""

    order: Order
    batch_id: str
    dev: bool
    settings: Settings
    screen: Screen

    async def run(self, interruption: Interruption) -> int:
        """Do what was asked. Raises RefusedError, EngineError, StoreError."""
        interruption.farewell = "Stopped."
        store = Store(self.settings.store_location)
        async with AsyncExitStack() as stack:
            try:
                batch = await self._find(store, stack)
            except EngineError:
                if result := await self._answered(store):
                    return await self._ended(store, result)
                raise
            if batch.had_ended:
                return await self._ended(store, await batch.result())
            standing = await batch.look()
            if self.order is Order.STATUS:
                return self._show(standing)
            if already := self._why_not(standing):
                self.screen.result(already)
                return 0
            await {Order.PAUSE: batch.pause, Order.RESUME: batch.resume, Order.CANCEL: batch.cancel}[
                self.order
            ]()
            self.screen.result(self._done(heard=standing.silent is None))
        return 0

    async def _find(self, store: Store, stack: AsyncExitStack) -> Batch:
        settings = self.settings
        address = None
        if self.dev:
            server = dev_server(
                settings.batch_state.expanduser(), self.screen.say, cli=settings.batch_temporal_cli
            )
            address = (await stack.enter_async_context(server)).address
        client = await connect(address=address)
        found = await find(client, store, self.batch_id)
        if found is None:
            raise RefusedError(
                f"No batch {self.batch_id} runs or has ended on this Temporal server: "
                "see what runs with `temporal workflow list`."
            )
        return found

    async def _answered(self, store: Store) -> BatchResult | None:
        """What the receipt says of a batch that has ended, for whoever asks while Temporal is away."""
        if self.order is not Order.STATUS:
            return None
        return await answered_before(store, self.batch_id, self.settings.admin_email)

    async def _ended(self, store: Store, result: BatchResult) -> int:
        if self.order is not Order.STATUS:
            raise RefusedError(f"Batch {self.batch_id} has ended: there is nothing to {self.order}.")
        result, purged = await as_kept(store, result)
        self.screen.result(f"Batch {self.batch_id} has ended.")
        show_summary(result, BatchOptions(), self.screen, purged)
        return exit_code(result)

    def _why_not(self, standing: Standing) -> str | None:
        """What it was so already; raises RefusedError where it cannot be."""
        name = f"Batch {self.batch_id}"
        if standing.silent is not None:
            return None
        if standing.cancelled:
            if self.order is Order.CANCEL:
                return f"{name} is cancelled already."
            raise RefusedError(f"{name} is cancelled, and mails nobody new.")
        if self.order is Order.RESUME and standing.paused is None:
            return f"{name} is not paused."
        if self.order is Order.PAUSE:
            if standing.paused is not None:
                return f"{name} is paused already: {standing.paused.why}."
            if standing.doing in (Doing.REPORTING, Doing.NOTIFYING, Doing.DONE):
                raise RefusedError(f"{name} has nobody left to mail: there is nothing to pause.")
        return None

    def _done(self, *, heard: bool) -> str:
        """What the order has come to; not `heard`: no worker answers, so that it comes to it later."""
        with_dev = " --dev" if self.dev else ""
        to_go_on = f"to go on: {command(Order.RESUME, self.batch_id)}{with_dev}"
        later = "" if heard else " as soon as a worker answers"
        return {
            Order.PAUSE: f"Batch {self.batch_id} pauses{later}: what is under way is settled; {to_go_on}",
            Order.RESUME: f"Batch {self.batch_id} goes on{later}.",
            Order.CANCEL: f"Batch {self.batch_id} ends{later}: what is under way is settled, nobody new is "
            "mailed.",
        }[self.order]

    def _show(self, standing: Standing) -> int:
        queue = self.settings.batch_task_queue
        if standing.silent is Silence.WORKER:
            raise EngineError(
                f"No worker answers for batch {self.batch_id}, which is safe meanwhile: start one for task "
                f"queue {queue!r} with `python worker.py`."
            )
        if standing.silent is Silence.ENGINE:
            raise EngineError(f"Temporal, asked for batch {self.batch_id}, does not answer: try again.")
        self.screen.result(f"Batch {self.batch_id}: {amount(standing, Pace())}")
        for outcome, number in standing.settled.items():
            self.screen.result_fact(str(outcome), f"{number:,}")
        for note in notes_on(standing, queue, dev=self.dev):
            self.screen.result(note)
        return 0

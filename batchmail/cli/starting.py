"""Start a batch, or find it: from list and message to the exit code."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from batchmail.batch.orders import Order, command
from batchmail.batch.result import BatchResult
from batchmail.cli.dry_run import dry_run
from batchmail.cli.interruption import Interruption
from batchmail.cli.job import Job, read_job, show_job
from batchmail.cli.mailed_before import MailedBefore, mailed_before
from batchmail.cli.names import answered_before, as_kept, check_name, possible_ids
from batchmail.cli.screen import Screen, json_line
from batchmail.cli.summary import exit_code, show_summary
from batchmail.cli.surroundings import Surroundings, Working, surroundings
from batchmail.cli.watching import watched
from batchmail.cli.wishes import Wishes
from batchmail.cli.words import command_to_attach, near
from batchmail.client import Batch, find, running, start
from batchmail.errors import RefusedError, RelayFaultError
from batchmail.message.source import save_message
from batchmail.relay.connect import try_relay
from batchmail.report.phrases import count
from batchmail.settings import Relay, Settings
from batchmail.store import Store

_RELAY_PATIENCE = 30.0  # seconds; the relay has minutes by RFC 5321, the person at the terminal has not


class Command(NamedTuple):
    """One call of the starter."""

    wishes: Wishes
    arguments: tuple[str, ...]
    settings: Settings
    working: Working
    screen: Screen

    async def run(self, interruption: Interruption) -> int:
        """Do what was asked. Raises BatchmailError; nothing was started when it is an InputError."""
        wishes, settings, screen = self.wishes, self.settings, self.screen
        wishes.check()
        store = Store(settings.store_location)
        job = await read_job(wishes, settings, store, screen)
        show_job(job, store, screen)
        first_choice = next(possible_ids(job, wishes))
        if wishes.dry_run:
            await check_name(store, first_choice, job)
            return await dry_run(job, first_choice, store, screen, json_wanted=wishes.json_wanted)
        if not wishes.again:
            await check_name(store, first_choice, job)
            if result := await answered_before(store, first_choice, job.options.admins):
                return await self._ended(store, result, job, before=True)
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(surroundings(wishes, settings, self.working, screen))
            batch, result = await self._to_its_end(job, here, store, interruption, stack)
            if result is None:
                return self._detached(batch)
        return await self._ended(store, result, job, before=not batch.began and batch.had_ended)

    async def _to_its_end(
        self, job: Job, here: Surroundings, store: Store, interruption: Interruption, stack: AsyncExitStack
    ) -> tuple[Batch, BatchResult | None]:
        """Find or start the batch and watch it; no result with --detach."""
        batch_id, found = await self._choose(job, here, store)
        if found is None:
            await self._consent(job, here, store, batch_id)
            await save_message(store, job.message)
        elif found.had_ended:
            return found, await found.result()
        self._show_batch(batch_id, here, found)
        if self.wishes.dev:
            await self._show_others(batch_id, here)
        self.screen.say()
        self._prepare_farewell(batch_id, interruption)
        await stack.enter_async_context(here.work())
        batch = found or await start(
            here.client,
            store,
            batch_id,
            job.request,
            task_queue=self.settings.batch_task_queue,
            summary=f"{job.snapshot.list_name}: {count(job.snapshot.total, 'recipient')}",
        )
        if self.wishes.detach and not batch.had_ended:
            return batch, None
        return batch, await watched(batch, self.settings.batch_task_queue, self.screen, dev=self.wishes.dev)

    async def _choose(self, job: Job, here: Surroundings, store: Store) -> tuple[str, Batch | None]:
        """The batch's id, and the batch where it runs or has ended already."""
        for batch_id in possible_ids(job, self.wishes):
            await check_name(store, batch_id, job)
            found = await find(here.client, store, batch_id)
            if found:
                await found.check_holds(job.request)
            if found is None or not (self.wishes.again and found.had_ended):
                return batch_id, found
        raise RefusedError(
            f"Batch {self.wishes.batch_id} has ended and stays as it is: for a new mailing give --again "
            "another --batch-id, or none."
        )

    async def _consent(self, job: Job, here: Surroundings, store: Store, batch_id: str) -> None:
        """Return if this new batch may be started; raises RelayFaultError, RefusedError."""
        wishes, screen = self.wishes, self.screen
        if here.relay is not None:
            await _try(here.relay, screen)
        screen.fact("relay", _relay_text(here))
        begun_before = await check_name(store, batch_id, job)
        if not wishes.again and not begun_before:
            before = await mailed_before(store, job.snapshot, job.message.id, batch_id)
            if before.purged:
                screen.fact(
                    "note",
                    f"this very message went out before (batch {', '.join(before.purged)}); whom it went to "
                    "was purged",
                    "yellow",
                )
            if before.recipients:
                await self._consent_to_repeat(before, job)
        if here.mailbox is None and not wishes.yes and screen.can_ask:
            await screen.ask(
                f"Mail {count(job.snapshot.total, 'recipient')} from {job.message.sender} "
                f"through {_relay_text(here)}?"
            )

    async def _consent_to_repeat(self, before: MailedBefore, job: Job) -> None:
        whom = (
            f"{before.recipients:,} of these {count(job.snapshot.total, 'recipient')}"
            if before.recipients < job.snapshot.total
            else "all of these recipients"
        )
        went = f"This very message went before to {whom} (batch {', '.join(before.batches)})"
        if not self.screen.can_ask:
            raise RefusedError(f"{went}: to mail them again, give --again.")
        self.screen.say(f"{went}.", "yellow")
        await self.screen.ask("Mail them again?")

    def _show_batch(self, batch_id: str, here: Surroundings, found: Batch | None) -> None:
        screen = self.screen
        was_there = "it goes on where it stopped" if self.wishes.dev else "it runs already: attached"
        screen.fact("batch", f"{batch_id} ({was_there})" if found else batch_id)
        if url := here.workflow_url(batch_id):
            screen.fact("web UI", url)
        if here.mailbox is not None:
            screen.fact("mails", near(str(here.mailbox)))

    async def _show_others(self, batch_id: str, here: Surroundings) -> None:
        """A worker serves every batch of its server, so an unfinished one goes on beside this one."""
        for other in await running(here.client):
            if other != batch_id:
                self.screen.fact("also", f"{other} is unfinished, and goes on meanwhile", "yellow")

    def _prepare_farewell(self, batch_id: str, interruption: Interruption) -> None:
        """From now on the batch may be under way."""
        if self.wishes.dev:
            grace = self.settings.batch_grace.total_seconds()
            interruption.at_once = (
                f"Stopping: what is under way is settled, for at most {grace:.0f} s (Ctrl-C again: at once) …"
            )
            interruption.farewell = f"Stopped. The same command goes on with batch {batch_id}."
            return
        interruption.farewell = (
            f"Batch {batch_id} goes on without this command. To watch it again:\n"
            f"  {command_to_attach(self.arguments, batch_id)}\n"
            f"To end it: {command(Order.CANCEL, batch_id)}"
        )

    async def _ended(self, store: Store, result: BatchResult, job: Job, *, before: bool) -> int:
        screen = self.screen
        purged = None
        if before:
            result, purged = await as_kept(store, result)
            screen.fact(
                "batch", f"{result.batch_id} has ended before: this is its result, nobody was mailed now"
            )
            screen.more("to mail everybody anew, add --again")
            screen.say()
        if self.wishes.json_wanted:
            screen.object(json_line(result.model_dump(mode="json")))
        else:
            show_summary(result, job.options, screen, purged)
        return exit_code(result)

    def _detached(self, batch: Batch) -> int:
        screen = self.screen
        if self.wishes.json_wanted:
            screen.object(json_line({"batch_id": batch.id, "status": "running"}))
            return 0
        screen.result(f"Batch {batch.id} is running.")
        screen.result_fact("watch", command_to_attach(self.arguments, batch.id))
        screen.result_fact("end", command(Order.CANCEL, batch.id))
        return 0


async def _try(relay: Relay, screen: Screen) -> None:
    """One connection, so that a relay that cannot be used is found before anything is started."""
    with screen.during(f"Trying the relay {relay}"):
        try:
            async with asyncio.timeout(_RELAY_PATIENCE):
                await try_relay(relay)
        except TimeoutError:
            raise RelayFaultError(
                f"The relay {relay} does not answer within {_RELAY_PATIENCE:.0f} s: "
                "check SMTP_HOST and SMTP_PORT."
            ) from None


def _relay_text(here: Surroundings) -> str:
    if here.mailbox is not None:
        return "a mailbox on this machine: no mail goes anywhere (SMTP_HOST is not set)"
    if here.relay is None:
        return "the relay of your workers"
    return f"{here.relay} (TLS: {here.relay.tls})"

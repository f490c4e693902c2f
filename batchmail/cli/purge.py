"""starter.py purge: remove what is personal in batches that have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

import typer
import uvloop

from batchmail.cli.help import GroupedHelp
from batchmail.cli.interruption import Interruption, interruptible
from batchmail.cli.screen import Screen, json_line
from batchmail.errors import InputError, RefusedError
from batchmail.report.phrases import count
from batchmail.retention import Held, Unused, held_batches, purge, remove_unused, unused
from batchmail.settings import duration, read_settings
from batchmail.store import Store

_SHOWN = 10
_WHAT, _HOW = "What is purged", "How"


class PurgeHelp(GroupedHelp):
    """The help of starter.py purge."""

    usage = "python starter.py purge [BATCH…] [OPTIONS]"
    closing = (
        (
            "Examples",
            (
                ("python starter.py purge --older-than 90d --dry-run", "what would go"),
                ("python starter.py purge --older-than 90d --yes", "for a timer"),
                ("python starter.py purge spring-sale", "one batch, now"),
            ),
        ),
        (
            "Exit codes",
            (
                ("0", "done, or there was nothing to do"),
                ("2", "something given cannot be used, or was refused"),
                ("3", "the store is out of reach: the same command goes on with what is left"),
                ("130", "ended by Ctrl-C: the same command goes on with what is left"),
            ),
        ),
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=PurgeHelp, context_settings={"help_option_names": ["-h", "--help"]})
def purge_batches(
    context: typer.Context,
    batches: Annotated[list[str] | None, typer.Argument(metavar="BATCH", show_default=False)] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE",
            help="All that ended so long ago (90d, 12h), and lists nobody mailed that were read so long ago.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, remove nothing.", rich_help_panel=_HOW)
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before removing.", rich_help_panel=_HOW)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="What went as one JSON object on stdout.", rich_help_panel=_HOW)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Tracebacks.", rich_help_panel=_HOW)  # read where they are printed
    ] = False,
) -> int:
    """Remove from the store what is personal in batches that have ended: addresses, outcomes, reports.

    Counts and receipt stay: the same command still shows what the batch came to, and mails nobody again.
    Lists and messages go when no other batch needs them. A batch that runs is never touched.
    """
    screen: Screen = context.obj
    command = Command(
        named=tuple(dict.fromkeys(batches or ())),
        age=_age(older_than),
        store=Store(read_settings().store_location),
        screen=screen,
        dry_run=dry_run,
        yes=yes,
        json_wanted=json_,
    )
    return uvloop.run(interruptible(command.run, screen))


class Command(NamedTuple):
    """One call of the purge."""

    named: tuple[str, ...]
    age: timedelta | None
    store: Store
    screen: Screen
    dry_run: bool
    yes: bool
    json_wanted: bool

    async def run(self, interruption: Interruption) -> int:
        """Do what was asked. Raises RefusedError before anything is removed, StoreError."""
        interruption.farewell = "Stopped: nothing was removed."
        if bool(self.named) == (self.age is not None):
            raise InputError("Give either the batches to purge or --older-than, such as --older-than 90d.")
        now = datetime.now(UTC)
        with self.screen.during("Looking through the store"):
            held = await held_batches(self.store, now)
            chosen = self._chosen(held, now)
            idle = await self._unused(held, chosen, now)
        objects = sum(len(one.personal) for one in chosen) + len(idle.objects)
        self._show(chosen, idle)
        if objects and not self.dry_run:
            await self._consent()
            interruption.farewell = "Stopped: the same command goes on with what is left."
            idle = await self._remove(chosen, now, objects)
        self._tell(chosen, idle, objects, now)
        return 0

    def _chosen(self, held: list[Held], now: datetime) -> list[Held]:
        """The batches that are meant. Raises RefusedError for a named one that must not be purged."""
        if self.age is not None:
            latest = now - self.age
            return [one for one in held if one.cut and one.ended and one.ended <= latest]
        by_id = {one.id: one for one in held}
        if missing := [name for name in self.named if name not in by_id]:
            raise RefusedError(f"The store {self.store} has no batch {missing[0]}: nothing was removed.")
        chosen = [by_id[name] for name in self.named]
        for one in chosen:
            one.check_may_go()
        return chosen

    async def _unused(self, held: list[Held], chosen: list[Held], now: datetime) -> Unused:
        going = {one.folder for one in chosen}
        if self.age is not None:
            going |= {one.folder for one in held if one.is_purged}
        return await unused(self.store, held, going, now, self.age)

    async def _remove(self, chosen: list[Held], now: datetime, objects: int) -> Unused:
        """Remove it; lists and messages are looked at anew, since batches may have begun meanwhile."""
        done = 0
        with self.screen.during("Removing") as tell:

            def gone(number: int) -> None:
                nonlocal done
                done += number
                tell(f"{done:,} of {count(objects, 'object')}")

            await purge(self.store, chosen, now, gone)
            held = await held_batches(self.store, now)
            folders = {one.folder for one in chosen}
            idle = await self._unused(held, [one for one in held if one.folder in folders], now)
            await remove_unused(self.store, idle, gone)
            await self.store.tidy()
        return idle

    def _show(self, chosen: list[Held], idle: Unused) -> None:
        going = [one for one in chosen if one.personal]
        for one in going[:_SHOWN]:
            ended = f"ended {one.ended.astimezone():%Y-%m-%d}, " if one.ended else ""
            self.screen.fact("batch", f"{one.id}: {ended}{count(len(one.personal), 'object')}")
        if (more := len(going) - _SHOWN) > 0:
            self.screen.more(f"and {more:,} more")
        if idle.lists:
            self.screen.fact("lists", f"{count(len(idle.lists), 'list')} that no other batch needs")
        if idle.messages:
            self.screen.fact("messages", f"{count(len(idle.messages), 'message')} that no other batch needs")
        if idle.recent:
            self.screen.fact(
                "later",
                "a list or message was read within the hour, so somebody may be starting a batch with it: "
                "the same command removes it later",
                "yellow",
            )

    async def _consent(self) -> None:
        if self.yes:
            return
        if not self.screen.can_ask:
            raise RefusedError("Nobody is there to be asked: give --yes to remove it for good, or --dry-run.")
        await self.screen.ask("Remove this for good?", otherwise="nothing was removed")

    def _tell(self, chosen: list[Held], idle: Unused, objects: int, now: datetime) -> None:
        purged = [one.id for one in chosen if one.personal or not one.is_purged]
        if self.json_wanted:
            self.screen.object(
                json_line(
                    {
                        "status": "dry-run" if self.dry_run else "purged",
                        "batches": purged,
                        "lists": len(idle.lists),
                        "messages": len(idle.messages),
                        "objects": objects,
                        "later": idle.recent,
                    }
                )
            )
        elif not objects:
            self.screen.result("There is nothing to remove.")
        elif self.dry_run:
            self.screen.result(f"{count(objects, 'object')} would be removed; nothing was.")
        else:
            self.screen.result(f"{count(objects, 'object')} removed; receipts and counts stay.", "green")


def _age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        found = duration(text)
    except ValueError as error:
        raise InputError(f"--older-than {text!r} cannot be used: {error}.") from None
    assert isinstance(found, timedelta)
    return found

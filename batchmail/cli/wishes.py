"""What the person at the command line asked for, typed and checked as far as it can be without a file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from batchmail.batch.ids import checked_batch_id
from batchmail.batch.options import BatchOptions, InDoubt
from batchmail.batch.slices import LARGEST_SLICE
from batchmail.errors import InputError, RefusedError
from batchmail.lists.addresses import Unusable, usable_address
from batchmail.settings import Settings, addresses, give_up_time, percentage

MOST_CONNECTIONS = 2000


class Wishes(BaseModel):
    """The options of one start. None: not given, so the setting or the program decides."""

    model_config = ConfigDict(frozen=True)

    list: str
    message: Path | None = None
    email_column: str | None = None
    subject: str | None = None
    sender: str | None = None
    admin: str | None = None
    batch_id: str | None = None
    connections: int | None = None
    in_doubt: InDoubt = InDoubt.RESEND
    slice_size: int | None = None
    give_up_after: str | None = None
    max_rejected: str | None = None
    detach: bool = False
    again: bool = False
    yes: bool = False
    json_wanted: bool = False
    dev: bool = False
    dry_run: bool = False
    debug: bool = False

    def check(self) -> None:
        """Raise InputError or RefusedError for options that cannot be, alone or together."""
        if self.detach and self.dev:
            raise RefusedError(
                "--detach cannot go with --dev, whose server and worker end with this command: leave one out."
            )
        if self.batch_id is not None:
            checked_batch_id(self.batch_id)
        for name, number, most in (
            ("--connections", self.connections, MOST_CONNECTIONS),
            ("--slice-size", self.slice_size, LARGEST_SLICE),
        ):
            if number is not None and not 1 <= number <= most:
                raise InputError(f"{name} {number} cannot be used: give a number from 1 to {most:,}.")

    def options(self, settings: Settings) -> BatchOptions:
        """How the batch is to be mailed: options before settings before defaults. Raises InputError."""
        return BatchOptions(
            connections=self.connections or settings.batch_connections,
            in_doubt=self.in_doubt,
            slice_size=self.slice_size,
            give_up_after=self._give_up_after(settings),
            retry_delays=settings.batch_retry_delays,
            heartbeat_timeout=settings.batch_heartbeat_timeout,
            retry_interval=settings.batch_retry_interval,
            max_rejected_percent=self._max_rejected(settings),
            tell_after=settings.batch_tell_after,
            admins=self._admins(settings),
        )

    def _give_up_after(self, settings: Settings) -> timedelta:
        if self.give_up_after is None:
            return settings.batch_give_up_after
        try:
            found = give_up_time(self.give_up_after)
        except ValueError as error:
            raise InputError(f"--give-up-after {self.give_up_after!r} cannot be used: {error}.") from None
        return found if isinstance(found, timedelta) else settings.batch_give_up_after

    def _max_rejected(self, settings: Settings) -> float:
        if self.max_rejected is None:
            return settings.batch_max_rejected
        try:
            found = percentage(self.max_rejected)
        except ValueError as error:
            raise InputError(f"--max-rejected {self.max_rejected!r} cannot be used: {error}.") from None
        return found if isinstance(found, float) else settings.batch_max_rejected

    def _admins(self, settings: Settings) -> tuple[str, ...]:
        name, given = (
            ("ADMIN_EMAIL", settings.admin_email)
            if self.admin is None
            else ("--admin", tuple(_split(self.admin)))
        )
        found = []
        for text in given:
            address = usable_address(text)
            if isinstance(address, Unusable):
                raise InputError(f"{name}: {text!r} {address.reason}: give addresses, separated by commas.")
            found.append(address)
        return tuple(dict.fromkeys(found))


def _split(text: str) -> tuple[str, ...]:
    found = addresses(text)
    return found if isinstance(found, tuple) else ()

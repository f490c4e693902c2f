"""The mails of one slice: recipients of the snapshot and the compiled message, joined."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from batchmail.batch.batch_cut import cut_name
from batchmail.batch.ids import mail_token
from batchmail.batch.recipients import Recipient
from batchmail.errors import MessageError, StoreError
from batchmail.lists.snapshot import load_snapshot, read_recipients
from batchmail.message.compiled import CompiledMessage, compile_message, rfc5322_date
from batchmail.message.source import MessageSource, load_message
from batchmail.relay.session import Envelope
from batchmail.report.cut import load_cut
from batchmail.store import Store


class Mails(Protocol):
    """One mail a row."""

    def envelope(self, row: int, eight_bit: bool) -> Envelope:
        """The mail for the slice's row `row` (from 0). Raises FillError."""
        ...


class BatchMails:
    """The mails of a slice of a batch."""

    def __init__(
        self, batch: str, recipients: Sequence[Recipient], message: CompiledMessage, sender: str
    ) -> None:
        self._batch = batch
        self._recipients = recipients
        self._message = message
        self._sender = sender
        self._domain = sender.rpartition("@")[2]
        self._date = ""
        self._date_of = 0

    def envelope(self, row: int, eight_bit: bool) -> Envelope:
        recipient = self._recipients[row]
        address = recipient.address
        filled = self._message.fill(
            recipient, f"<{mail_token(self._batch, address)}@{self._domain}>", self._now(), eight_bit
        )
        return Envelope(
            self._sender, address, filled.data, filled.size, not (address + self._sender).isascii()
        )

    def _now(self) -> str:
        second = int(time.time())
        if second != self._date_of:
            self._date, self._date_of = rfc5322_date(datetime.fromtimestamp(second, UTC)), second
        return self._date


async def check_batch(store: Store, batch: str) -> None:
    """Raise StoreError where nobody may be mailed for this batch from this store.

    In another store than the one the batch was opened in, nothing would tell who was mailed already; where
    the batch was purged, nothing tells it any more.
    """
    cut = await load_cut(store, cut_name(batch))
    if cut is None:
        raise StoreError(
            f"The store of this worker, {store}, does not know batch {batch}, which another worker opened in "
            "its own: give all workers the same BATCH_STORE."
        )
    if cut.purged is not None:
        raise StoreError(
            f"Batch {batch} was purged on {cut.purged:%Y-%m-%d}, so that nobody can be mailed by it any "
            "more: terminate this run."
        )


async def load_mails(store: Store, batch: str, snapshot: str, message: str, first: int, last: int) -> Mails:
    """The mails for the snapshot's rows `first` to `last`. Raises StoreError, MessageError."""
    await check_batch(store, batch)
    source = await load_message(store, message)
    taken = await load_snapshot(store, snapshot)
    compiled = await compiled_message(source, taken.fields, taken.list_name, accepted=True)
    return BatchMails(
        batch, await read_recipients(store, taken, first, last), compiled, source.envelope_sender
    )


async def compiled_message(
    source: MessageSource, fields: tuple[str, ...], list_name: str, *, accepted: bool = False
) -> CompiledMessage:
    """The message, compiled once for all of its batch. Raises MessageError; see `compile_message`.

    In a thread: a large message takes longer than a heartbeat may.
    """
    return await asyncio.to_thread(_compiled, source, fields, list_name, accepted)


def _compiled(
    source: MessageSource, fields: tuple[str, ...], list_name: str, accepted: bool
) -> CompiledMessage:
    with _one_at_a_time:
        return _kept(source, fields, list_name, accepted)


@lru_cache(maxsize=8)
def _kept(source: MessageSource, fields: tuple[str, ...], list_name: str, accepted: bool) -> CompiledMessage:
    """One for the opening and all slices; one that is refused by now, for slices alone."""
    if accepted:
        with suppress(MessageError):
            return _kept(source, fields, list_name, False)
    return compile_message(source, fields, list_name, accepted=accepted)


_one_at_a_time = threading.Lock()

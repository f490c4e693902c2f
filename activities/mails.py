"""The mails of one slice: recipients of the snapshot and the compiled message, joined."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from batchmail.batch.ids import mail_token
from batchmail.batch.recipients import Recipient
from batchmail.lists.snapshot import load_snapshot, read_recipients
from batchmail.message.compiled import CompiledMessage, compile_message, rfc5322_date
from batchmail.message.source import load_message
from batchmail.relay.session import Envelope
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


async def load_mails(store: Store, batch: str, snapshot: str, message: str, first: int, last: int) -> Mails:
    """The mails for the snapshot's rows `first` to `last`. Raises StoreError, MessageError."""
    source = await load_message(store, message)
    taken = await load_snapshot(store, snapshot)
    compiled = compile_message(source, taken.fields, taken.list_name)
    return BatchMails(
        batch, await read_recipients(store, taken, first, last), compiled, source.envelope_sender
    )

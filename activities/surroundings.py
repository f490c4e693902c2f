"""What every activity of one worker shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporalio.client import Client

from activities.pool import Pool
from batchmail.settings import Relay, Settings
from batchmail.store import Store


@dataclass(frozen=True)
class Surroundings:
    """One worker's client, settings, store, relay and open connections."""

    client: Client
    settings: Settings
    store: Store
    relay: Relay
    pool: Pool = field(default_factory=Pool)

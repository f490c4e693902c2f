"""What every activity of one worker shares."""

from __future__ import annotations

from dataclasses import dataclass, field

from temporalio.client import Client

from activities.pool import Pool
from batchmail.engine.metrics import Metrics
from batchmail.engine.search_attributes import SearchAttributes
from batchmail.settings import Relay, Settings
from batchmail.store import Store


@dataclass(frozen=True)
class Surroundings:
    """One worker's client, settings, store, relay, open connections and metrics."""

    client: Client
    settings: Settings
    store: Store
    relay: Relay
    pool: Pool = field(default_factory=Pool)
    search_attributes: SearchAttributes = field(default_factory=SearchAttributes)
    metrics: Metrics = field(default_factory=Metrics)

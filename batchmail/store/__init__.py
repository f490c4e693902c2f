"""The store: where snapshots, outcome files and reports live, in a folder or an object store."""

from batchmail.store.medium import Entry
from batchmail.store.store import Store

__all__ = ["Entry", "Store"]

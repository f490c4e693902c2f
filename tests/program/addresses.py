"""Where a worker may listen."""

from __future__ import annotations

from batchmail.engine.ports import LOOPBACK, any_free
from batchmail.settings import Listen


def free() -> Listen:
    """An address nobody listens at."""
    return Listen(LOOPBACK, any_free().ui)

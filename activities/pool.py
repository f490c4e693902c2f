"""A worker's open connections to the relay, kept from slice to slice of a batch.

A connection belongs to the slice that uses it. One that its slice no longer needs goes to another slice of
the same batch in this worker; where there is none it waits until its slice ends, and is then closed: a batch
never has more connections than its slices were granted.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

from activities.limits import Limits
from batchmail.relay.session import Session

REMEMBERED = 100
"""So many batches' knowledge of the relay; when there are more, that of batches without slices goes."""


class Taker(Protocol):
    """A slice that uses connections."""

    def adopt(self, session: Session) -> bool:
        """Use this idle connection from now on; False where it is not needed."""
        ...

    def spare(self) -> list[Session]:
        """Give away the idle connections that are not needed."""
        ...


class Pool:
    """Hands connections from slice to slice."""

    def __init__(self) -> None:
        self._takers: defaultdict[str, list[Taker]] = defaultdict(list)
        self._limits: dict[str, Limits] = {}

    def limits(self, batch: str) -> Limits:
        """What is known of the relay by this batch; kept from slice to slice, and from part to part."""
        known = self._limits.setdefault(batch, Limits())
        if len(self._limits) > REMEMBERED:
            self._limits = {one: kept for one, kept in self._limits.items() if kept.users or one == batch}
        return known

    def join(self, batch: str, taker: Taker) -> None:
        """A slice begins: it gets what others of its batch can spare."""
        for other in self._takers[batch]:
            for session in other.spare():
                if not taker.adopt(session) and not other.adopt(session):
                    self._quit(batch, session)
        self._takers[batch].append(taker)

    def offer(self, batch: str, session: Session, giver: Taker) -> bool:
        """Whether another slice has taken this idle connection."""
        return any(other.adopt(session) for other in self._takers[batch] if other is not giver)

    def leave(self, batch: str, taker: Taker) -> None:
        """A slice has ended: what nobody takes is closed."""
        takers = self._takers[batch]
        if taker in takers:
            takers.remove(taker)
        for session in taker.spare():
            if not self.offer(batch, session, taker):
                self._quit(batch, session)
        if not takers:
            del self._takers[batch]

    def _quit(self, batch: str, session: Session) -> None:
        self.limits(batch).forget(session)
        session.quit()

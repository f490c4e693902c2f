"""What the slices of one batch have found out, in this worker, about what the relay takes at present.

Shared, so that several slices do not each ask again: how many connections it admits, how fast it takes mail,
and what is the matter while it takes none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from batchmail.batch.outcomes import Cause, Stage
from batchmail.batch.progress import Waiting
from batchmail.batch.throttle import may_be_the_rate
from batchmail.relay.admission import Admission
from batchmail.relay.pace import Pace
from batchmail.relay.session import Session


class User(Protocol):
    """A slice that uses connections."""

    @property
    def held(self) -> int:
        """Its connections, those it is opening included."""
        ...

    def look_again(self) -> None:
        """More may be done now than a moment ago."""
        ...


class Limits:
    """The relay's limits as one batch knows them in one worker; `now`: seconds of the event loop's clock.

    `users`: the slices. `untried`: connections that have not taken a mail yet, and whether each replaces
    another.
    """

    def __init__(self) -> None:
        self.users: set[User] = set()
        self.untried: dict[Session, bool] = {}
        self.pace = Pace()
        self.waiting: Waiting | None = None
        self._admission = Admission()
        self._opening = 0

    def leave(self, user: User) -> None:
        """The slice has ended. With the last one ends what is the matter: nobody waits for it any more."""
        self.users.discard(user)
        if not self.users:
            self.waiting = None

    # Connections

    @property
    def again_at(self) -> float:
        """When one more connection may be tried, if none may now."""
        return self._admission.again_at

    def room(self, now: float) -> float:
        """How many connections more may be opened now."""
        return self._admission.room(now, self._count, self._opening + len(self.untried))

    def begin_opening(self) -> bool:
        """A connection is being opened; whether it replaces one. Its slice counts it from now on."""
        replaces = self._admission.replaces(self._count)
        self._opening += 1
        return replaces

    def opened(self, session: Session, *, replaces: bool) -> None:
        """It is open, and has still to take a mail."""
        self._opening -= 1
        self.untried[session] = replaces

    def not_opened(self, now: float, *, replaces: bool, cause: Cause, what: str) -> None:
        """It was refused. Its slice does not count it any more."""
        self._opening -= 1
        self._not_admitted(now, replaces, cause, what)

    def not_opened_after_all(self) -> None:
        """It was given up from our side."""
        self._opening -= 1

    def forget(self, session: Session) -> None:
        """It was closed from our side, or lost after it had taken mail: that says nothing."""
        self.untried.pop(session, None)
        self.pace.left(session)

    def dropped(self, session: Session, now: float, cause: Cause, what: str) -> bool:
        """It was closed by the relay; whether that was before it had taken a mail.

        Where it was opened in place of another, or its mail was the one tried, that may be the rate.
        """
        replaces = self.untried.pop(session, None)
        is_tried = self.pace.is_trying(session)
        if may_be_the_rate(cause) and (replaces or is_tried):
            self._refused_for_the_rate(session, now, what)
        else:
            self.pace.left(session)
            if replaces is not None:
                self._not_admitted(now, replaces, cause, what)
        return replaces is not None

    # Mails

    def answered(self, session: Session, now: float, *, taken: bool) -> None:
        """The relay has dealt with a mail: it took it, or refused its recipient."""
        if self.untried.pop(session, None) is not None:
            self._admission.used(self._count + 1)  # between two mails its slice does not count it
            self._wake()
        if self.waiting is not None:
            self.waiting = None
        if self.pace.answered(now, session, taken=taken):
            self._wake()

    def refused(self, session: Session, now: float, cause: Cause, what: str) -> None:
        """The relay took no mail, whoever it was for."""
        self.untried.pop(session, None)
        if not may_be_the_rate(cause):
            self.pace.refused(now, session, for_the_rate=False)
            self._wait(what)
            self._wake()
        elif not self.pace.overlooks():
            self._refused_for_the_rate(session, now, what)

    # How it is done

    @property
    def _count(self) -> int:
        return sum(user.held for user in self.users)

    def _not_admitted(self, now: float, replaces: bool, cause: Cause, what: str) -> None:
        believed = self._admission.refused(now, self._count, replacement=replaces)
        if believed and replaces and may_be_the_rate(cause._replace(stage=Stage.MAIL)):
            self.pace.refused(now, self, for_the_rate=True)
        if not self._count:
            self._wait(what)
        self._wake()

    def _refused_for_the_rate(self, who: object, now: float, what: str) -> None:
        self.pace.refused(now, who, for_the_rate=True)
        if self.pace.refusals > 1:  # a rate exceeded for a second is nothing to speak of
            self._wait(what)
        self._wake()

    def _wait(self, what: str) -> None:
        since = self.waiting.since if self.waiting else datetime.now(UTC)
        self.waiting = Waiting(what=what, since=since)

    def _wake(self) -> None:
        for user in self.users:
            user.look_again()

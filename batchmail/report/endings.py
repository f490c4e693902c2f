"""What became of every row, as the outcome files that the slices' results named say it.

Four bytes a row, whatever the slices were: a million recipients are 4 MB. Files that no result named are
never read here; they are true too, but may be older than what a named one says.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from batchmail.batch.ledger import Ledger, LedgerRecord
from batchmail.batch.outcomes import NO_CAUSE, Cause, Outcome
from batchmail.errors import StoreError
from batchmail.store import Store


class Ending(NamedTuple):
    """How it ended for a recipient; `in_doubt`: it was once unclear whether the relay had the mail."""

    outcome: Outcome
    cause: Cause
    in_doubt: bool
    recorded: bool = True
    """False: no named file speaks of this row, which no correct run leaves behind."""


UNRECORDED = Ending(Outcome.UNKNOWN, NO_CAUSE, in_doubt=True, recorded=False)
"""Nobody is dropped: a row that nothing was recorded of is reported as what it is, unknown."""


class Tally(NamedTuple):
    """A batch in numbers: recipients by outcome (they add up to the total), resends of somebody in doubt, and
    rows no named file speaks of."""

    counts: dict[Outcome, int]
    in_doubt_resent: int
    unrecorded: int


class Endings:
    """The ending of each of the rows 1 to `total`; `kinds` are the different ones, each once."""

    def __init__(self, total: int) -> None:
        self.kinds: list[Ending] = [UNRECORDED]
        self.resent = 0
        """How often, by the files, somebody in doubt was mailed again."""
        self.nonces: dict[str, int] = {}
        """The attempts the files descend from, and their order within a slice."""
        self._places = {UNRECORDED: 0}
        self._rows = array("I", [0]) * total

    def take(self, record: LedgerRecord) -> None:
        """Add what one outcome file says. Of two that speak of one row, the doubtful one is believed.

        Raises ValueError for a file that cannot be read or that speaks of rows which are not there.
        """
        ledger = Ledger.read(record)
        first = record.first - 1
        rows = self._rows
        if first < 0 or first + len(ledger) > len(rows):
            raise ValueError(f"it speaks of rows {record.first} to {first + len(ledger)} of {len(rows)}")
        said = array("I", map(self._places_by_state(ledger).__getitem__, ledger.states))
        known = rows[first : first + len(said)]
        if any(known):
            said = array("I", map(self._more_doubtful, known, said))
        rows[first : first + len(said)] = said
        self.resent += record.resent
        for nonce in record.nonces:
            self.nonces.setdefault(nonce, len(self.nonces))

    def places(self, first: int, last: int) -> Sequence[int]:
        """Of rows `first` to `last`: the place of each one's ending in `kinds`."""
        return self._rows[first - 1 : last]

    def tally(self) -> Tally:
        """The rows by outcome.

        Everyone who was in doubt and then got an answer was mailed again at least once, whatever became of
        the ledger that counted it.
        """
        counts: Counter[Outcome] = Counter()
        mailed_again = 0
        unrecorded = 0
        for place, count in Counter(self._rows).items():
            ending = self.kinds[place]
            counts[ending.outcome] += count
            if not ending.recorded:
                unrecorded += count
            elif ending.in_doubt and ending.outcome is not Outcome.UNKNOWN:
                mailed_again += count
        return Tally(dict(counts), max(self.resent, mailed_again), unrecorded)

    def _places_by_state(self, ledger: Ledger) -> list[int]:
        """For each byte a row of `ledger` can stand at: its place in `kinds`; 0 for what is no ending."""
        every_state = Ledger(1, bytes(range(256)))
        every_state.legend = ledger.legend
        places = [0] * 256
        for state, outcome, cause, in_doubt in every_state.settled():
            places[state] = self._place(Ending(outcome, cause, in_doubt))
        return places

    def _more_doubtful(self, known: int, said: int) -> int:
        return said if said and (not known or self.kinds[said].in_doubt) else known

    def _place(self, ending: Ending) -> int:
        place = self._places.setdefault(ending, len(self.kinds))
        if place == len(self.kinds):
            self.kinds.append(ending)
        return place


async def load_outcomes(store: Store, name: str) -> LedgerRecord:
    """The outcome file `name`, which can be read as a ledger. Raises MissingObjectError, StoreError."""
    content = await store.get(name)
    try:
        record = LedgerRecord.model_validate_json(content)
        Ledger.read(record)
    except ValidationError:
        raise damaged(store, name, "it is not an outcome file of this program") from None
    except ValueError as error:
        raise damaged(store, name, str(error)) from None
    return record


def damaged(store: Store, name: str, what: str) -> StoreError:
    """The error that says the object `name` cannot be used, and why."""
    return StoreError(f"{name} in the store {store} is damaged: {what}; put it back from a backup.")

"""The ledger: a slice's intents and outcomes, small enough to be a heartbeat's details.

One byte a row says where the row stands; a legend tells the outcomes that need a cause. On the wire the
bytes are compressed, so that a slice of 20,000 rows stays under 8 KB. Versioned: a worker that cannot read a
ledger must fail, never start afresh.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from batchmail.batch.outcomes import NO_CAUSE, Cause, Outcome, Stage

VERSION: Literal[1] = 1

# Where a row stands. Lower case carries the mark "was once in doubt"; UNKNOWN always does.
ABSENT = ord("-")  # not of this part
PENDING, PENDING_MARKED = ord("P"), ord("p")
NAMED, NAMED_MARKED = ord("I"), ord("i")
SENT, SENT_MARKED = ord("S"), ord("s")
DEFERRED, DEFERRED_MARKED = ord("D"), ord("d")  # of an earlier part: waits for its next try
UNKNOWN = ord("U")
_LEGEND = 128  # 128 + 2 * place in the legend, + 1 with the mark

_LEGEND_ROOM = (256 - _LEGEND) // 2
_REFUSALS = (Outcome.REJECTED, Outcome.DEFERRED, Outcome.EXPIRED)
_MARKED = bytes.maketrans(b"PISD", b"pisd")


class Settled(NamedTuple):
    """A row that has its final outcome."""

    row: int
    outcome: Outcome
    cause: Cause
    in_doubt: bool


class LedgerRecord(BaseModel):
    """A ledger on the wire: heartbeat details, a part's input, an outcome file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = VERSION
    first: int
    """The snapshot's row (from 1) that the first byte stands for."""
    states: str
    """One byte a row, compressed (zlib), as base64."""
    causes: tuple[tuple[Outcome, Stage, int, str], ...] = ()
    nonces: tuple[str, ...] = ()
    accepted: bool = False
    resent: int = 0
    counts: dict[str, int] = {}
    """For people and the progress bar; not read back."""
    waiting: str = ""
    """What the attempt waits for, if it does; not read back."""


class Ledger:
    """Where each row of a slice stands, and the nonces of the attempts this knowledge descends from.

    `first`: the snapshot's row number of the first row. Rows are addressed by their place in the slice, from
    0. `accepted`: somebody of this slice was accepted in an earlier part. `resent`: how often somebody in
    doubt was named again.
    """

    __slots__ = ("accepted", "first", "legend", "nonces", "places", "resent", "states")

    def __init__(self, first: int, states: bytes | bytearray) -> None:
        self.first = first
        self.states = bytearray(states)
        self.legend: list[tuple[Outcome, Cause]] = []
        self.places: dict[tuple[Outcome, Cause], int] = {}
        self.nonces: list[str] = []
        self.accepted = False
        self.resent = 0

    @classmethod
    def of_rows(cls, first: int, last: int) -> Ledger:
        """All rows from `first` to `last` of the snapshot pending; nobody has begun."""
        return cls(first, bytes([PENDING]) * (last - first + 1))

    @classmethod
    def read(cls, record: LedgerRecord) -> Ledger:
        """The ledger that `record` was written from. Raises ValueError where that cannot be read."""
        try:
            states = zlib.decompress(base64.b64decode(record.states))
        except (ValueError, zlib.error) as error:
            raise ValueError(f"its states cannot be unpacked ({error})") from None
        if len(record.causes) > _LEGEND_ROOM:
            raise ValueError(f"it has {len(record.causes)} causes, where {_LEGEND_ROOM} can be told apart")
        ledger = cls(record.first, states)
        for outcome, stage, code, enhanced in record.causes:
            ledger._place(outcome, Cause(stage, code, enhanced))
        ledger.nonces = list(record.nonces)
        ledger.accepted = record.accepted
        ledger.resent = record.resent
        return ledger

    def record(self, waiting: str = "", counts: dict[str, int] | None = None) -> LedgerRecord:
        """This ledger, to be sent or stored; `counts` of a moment ago will do for people, if given."""
        return LedgerRecord.model_construct(
            v=VERSION,
            first=self.first,
            states=base64.b64encode(_packed(self.states)).decode(),
            causes=tuple((outcome, *cause) for outcome, cause in self.legend),
            nonces=tuple(self.nonces),
            accepted=self.accepted,
            resent=self.resent,
            counts=self.shown_counts() if counts is None else counts,
            waiting=waiting,
        )

    # What it says

    def __len__(self) -> int:
        return len(self.states)

    def is_marked(self, row: int) -> bool:
        """Whether the row was ever in doubt."""
        state = self.states[row]
        return bool(state & 1) if state >= _LEGEND else state in _MARKS

    def rows(self, *states: int) -> Iterator[int]:
        """The rows that stand at one of `states`, in order of the states given."""
        for state in states:
            row = self.states.find(state)
            while row >= 0:
                yield row
                row = self.states.find(state, row + 1)

    def count(self, *states: int) -> int:
        """How many rows stand at one of `states`."""
        return sum(map(self.states.count, states))

    def marked(self) -> int:
        """How many rows were ever in doubt."""
        return self.count(*_MARKS, *range(_LEGEND + 1, _LEGEND + 2 * len(self.legend), 2))

    def shown_counts(self) -> dict[str, int]:
        """`counts`, as they stand on the wire."""
        return {str(outcome): count for outcome, count in self.counts().items()}

    def counts(self) -> dict[Outcome, int]:
        """Rows by outcome, of this part; outcomes nobody has are left out."""
        found = {
            Outcome.SENT: self.count(SENT, SENT_MARKED),
            Outcome.DEFERRED: self.count(DEFERRED, DEFERRED_MARKED),
            Outcome.UNKNOWN: self.count(UNKNOWN),
        }
        for place, (outcome, _) in enumerate(self.legend):
            code = _LEGEND + 2 * place
            found[outcome] = found.get(outcome, 0) + self.count(code, code + 1)
        return {outcome: count for outcome, count in found.items() if count}

    def settled(self) -> Iterator[Settled]:
        """Every row with a final outcome: what an outcome file of this ledger says."""
        final = {
            SENT: (Outcome.SENT, NO_CAUSE, False),
            SENT_MARKED: (Outcome.SENT, NO_CAUSE, True),
            UNKNOWN: (Outcome.UNKNOWN, NO_CAUSE, True),
        }
        for place, (outcome, cause) in enumerate(self.legend):
            if outcome is not Outcome.DEFERRED:
                final[_LEGEND + 2 * place] = (outcome, cause, False)
                final[_LEGEND + 2 * place + 1] = (outcome, cause, True)
        for row, state in enumerate(self.states):
            if state in final:
                yield Settled(row, *final[state])

    def refusals(self, kinds: Iterable[Outcome] = _REFUSALS) -> dict[Cause, int]:
        """How many rows of this part the relay refused or deferred, by cause."""
        found: dict[Cause, int] = {}
        for place, (outcome, cause) in enumerate(self.legend):
            if outcome in kinds:
                code = _LEGEND + 2 * place
                found[cause] = found.get(cause, 0) + self.count(code, code + 1)
        return {cause: count for cause, count in found.items() if count}

    def rows_of(self, place: int) -> Iterator[int]:
        """The rows that have the outcome at this place of the legend."""
        yield from self.rows(_LEGEND + 2 * place, _LEGEND + 2 * place + 1)

    # What changes it

    def pend(self, row: int) -> None:
        """The row is to be mailed, as if it had not been named; the mark stays."""
        self.resent -= self.states[row] == NAMED_MARKED
        self.states[row] = PENDING_MARKED if self.is_marked(row) else PENDING

    def name(self, row: int) -> None:
        """The row is about to be mailed: an intent."""
        marked = self.is_marked(row)
        self.resent += marked
        self.states[row] = NAMED_MARKED if marked else NAMED

    def settle(self, row: int, outcome: Outcome, cause: Cause) -> None:
        """The row has its outcome; the mark stays. `unknown` is always in doubt."""
        marked = self.is_marked(row)
        if outcome is Outcome.SENT:
            self.states[row] = SENT_MARKED if marked else SENT
        elif outcome is Outcome.UNKNOWN:
            self.states[row] = UNKNOWN
        else:
            self.states[row] = _LEGEND + 2 * self._place(outcome, cause) + marked

    def mark(self, row: int) -> None:
        """The row was in doubt."""
        state = self.states[row]
        self.states[row] = state | 1 if state >= _LEGEND else _MARKED[state]

    def revert(self, cause: Cause) -> list[int]:
        """Everyone refused for `cause` is pending again: the relay was at fault. Returns the rows."""
        reverted: list[int] = []
        for place, (_, why) in enumerate(self.legend):
            if why == cause:
                code = _LEGEND + 2 * place
                reverted += self.rows(code, code + 1)
        for row in reverted:
            self.pend(row)
        return reverted

    def adopt(self, record: LedgerRecord, *, marked: bool) -> None:
        """Take what an outcome file says of rows that are still open here.

        `marked`: they are in doubt all the same. A mark is taken for settled rows too: of two files that
        speak of one row, the doubtful one is believed.
        """
        said = Ledger.read(record)
        for row, outcome, cause, in_doubt in said.settled():
            here = row + said.first - self.first
            if 0 <= here < len(self):
                if self.states[here] in _OPEN:
                    self.settle(here, outcome, cause)
                if marked or in_doubt:
                    self.mark(here)

    def rest(self) -> Ledger | None:
        """What is left for a further part: pending and deferred rows with their marks, and the nonces."""
        states = self.states.translate(self._left())
        if states.count(ABSENT) == len(states):
            return None
        left = Ledger(self.first, states)
        left.nonces = list(self.nonces)
        left.accepted = self.accepted or self.count(SENT, SENT_MARKED) > 0
        return left

    def retry(self) -> None:
        """The delay is over: everyone deferred is pending."""
        self.states = self.states.translate(_DUE)

    def collapse_deferred(self) -> None:
        """Everyone deferred waits as in a further part, without the cause."""
        table = bytearray(range(256))
        self._collapse(table)
        self.states = self.states.translate(bytes(table))

    def outcomes(self) -> LedgerRecord:
        """The content of this ledger's outcome file: final outcomes only."""
        final = Ledger(self.first, self.states.translate(self._final()))
        final.legend = self.legend
        final.nonces = self.nonces
        final.resent = self.resent
        return final.record()

    def _place(self, outcome: Outcome, cause: Cause) -> int:
        for key in ((outcome, cause), (outcome, Cause(cause.stage, cause.code)), (outcome, NO_CAUSE)):
            place = self.places.get(key)
            if place is not None:
                return place
            # The last places are kept for the outcomes without cause, so that there is always one.
            if len(self.legend) < _LEGEND_ROOM - (0 if key[1] == NO_CAUSE else len(Outcome)):
                self.legend.append(key)
                self.places[key] = len(self.legend) - 1
                return len(self.legend) - 1
        raise AssertionError("the legend has room for every outcome")

    def _left(self) -> bytes:
        left = _only(_OPEN)
        self._collapse(left)
        return bytes(left)

    def _collapse(self, table: bytearray) -> None:
        for place, (outcome, _) in enumerate(self.legend):
            if outcome is Outcome.DEFERRED:
                table[_LEGEND + 2 * place] = DEFERRED
                table[_LEGEND + 2 * place + 1] = DEFERRED_MARKED

    def _final(self) -> bytes:
        final = _only((SENT, SENT_MARKED, UNKNOWN))
        for place, (outcome, _) in enumerate(self.legend):
            if outcome is not Outcome.DEFERRED:
                for state in (_LEGEND + 2 * place, _LEGEND + 2 * place + 1):
                    final[state] = state
        return bytes(final)


_OPEN = (PENDING, PENDING_MARKED, NAMED, NAMED_MARKED, DEFERRED, DEFERRED_MARKED)
_MARKS = (PENDING_MARKED, NAMED_MARKED, SENT_MARKED, DEFERRED_MARKED, UNKNOWN)
_DUE = bytes.maketrans(bytes([DEFERRED, DEFERRED_MARKED]), bytes([PENDING, PENDING_MARKED]))


def _packed(states: bytes | bytearray) -> bytes:
    """`states` compressed. They are runs and noise: run lengths and Huffman codes alone come out smaller by a
    fifth to a third than zlib's level 1, and as quick."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return packer.compress(states) + packer.flush()


def _only(kept: Iterable[int]) -> bytearray:
    """A translation that keeps these states and makes every other one absent."""
    table = bytearray([ABSENT]) * 256
    for state in kept:
        table[state] = state
    return table

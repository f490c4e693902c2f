"""What is promised, and checked in every life ("*": only in lives without resets):

P0* an attempt that has a successor begins nothing
P1  everyone is settled in the report, and who is reported sent was accepted
P2  accepted more often than reported: the report has the mark
P3  under hold nobody is accepted twice; unknown* only who was named in a committed ledger
P4* a superseded attempt leaves at most one newly in doubt a connection
P5* outcome files never contradict each other
P6  the batch comes to its end
P7  nobody is accepted more often than intents for him were acknowledged
P8* resends named in the report are not fewer than the relay's repeats
P9  what the slices' results count is what the report counts
P10 a workflow that is replayed does the same again
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from batchmail.batch.attempt import Intent
from batchmail.batch.ledger import NAMED, NAMED_MARKED, Ledger, LedgerRecord, Settled
from batchmail.batch.outcomes import Outcome
from batchmail.report.endings import Endings
from tests.simulation.setting import Setting

if TYPE_CHECKING:
    from tests.simulation.run import Run
    from tests.simulation.worker import Worker


class Violation(AssertionError):
    """A promise was broken: by `rule`."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule


class Promises:
    """The truth about one life beside what is reported of it. Rows are the batch's, from 1."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.accepted = [0] * (setting.total + 1)
        self.acknowledged = [0] * (setting.total + 1)
        self.committed: set[int] = set()
        self._latest: dict[tuple[int, str], int] = {}
        self._said: dict[str, dict[int, Settled]] = defaultdict(dict)

    def begins(self, worker: Worker) -> None:
        """A new attempt of its slice."""
        self._latest[worker.activity.era, worker.range] = worker.place

    def is_superseded(self, worker: Worker) -> bool:
        """Whether there is a later attempt of its slice (of the same era)."""
        return self._latest[worker.activity.era, worker.range] > worker.place

    def commits(self, worker: Worker, states: bytes) -> None:
        """The server has taken a ledger."""
        for row, state in enumerate(states, start=worker.first):
            if state in (NAMED, NAMED_MARKED):
                self.committed.add(row)

    def takes_as_in_doubt(self, worker: Worker, new: int) -> None:
        """An attempt has decided who is in doubt."""
        most = self.setting.connections
        if new > most and self.setting.undisturbed and not self.is_superseded(worker):
            broken("P4", f"{worker} takes {new} more as in doubt, with {most} connections")

    def sends(self, worker: Worker, intent: Intent) -> None:
        """A body leaves."""
        if not self.setting.activity_resets and self.is_superseded(worker):
            broken("P0", f"{worker} sends the body of {worker.first + intent.row} beside its successor")

    def accepts(self, row: int) -> None:
        """The relay takes a mail."""
        self.accepted[row] += 1
        if self.accepted[row] > 1 and self.setting.hold:
            broken("P3", f"{row} was accepted twice under hold")
        if self.accepted[row] > self.acknowledged[row]:
            broken("P7", f"{row} was accepted without an acknowledged intent")

    def writes(self, worker: Worker, record: LedgerRecord) -> None:
        """An outcome file is written."""
        if not self.setting.undisturbed:
            return
        said = self._said[worker.range]
        for one in Ledger.read(record).settled():
            if said.setdefault(one.row, one) != one:
                broken("P5", f"the file of {worker} contradicts another")

    def ends(self, run: Run, files: Mapping[str, Mapping[str, LedgerRecord]]) -> None:
        """The batch has ended, and the relay has recorded its last mail. `files`: by row range and name."""
        setting, slices = self.setting, run.slices
        endings = Endings(setting.total)
        for name in slices.files:
            row_range, content = name.split("/")
            endings.take(files[row_range][content])
        repeats = 0
        for row, place in enumerate(endings.places(1, setting.total), start=1):
            ending, accepted = endings.kinds[place], self.accepted[row]
            sent = ending.outcome is Outcome.SENT
            repeats += max(0, accepted - 1)
            if not ending.recorded:
                broken("P1", f"{row} is not settled")
            if sent and not accepted:
                broken("P1", f"{row} is reported sent and was never accepted")
            if accepted > sent and not ending.in_doubt:
                broken("P2", f"{row}, {ending.outcome} without mark, was accepted {accepted} times")
            if setting.undisturbed and ending.outcome is Outcome.UNKNOWN and row not in self.committed:
                broken("P3", f"{row} is unknown and was never named")
        tally = endings.tally()
        resent = max(slices.resent, tally.in_doubt_resent)
        if setting.undisturbed and repeats > resent:
            broken("P8", f"{repeats} repeats, {resent} resends named")
        counted = {outcome: count for outcome, count in slices.settled.items() if count}
        if counted != tally.counts:
            broken("P9", f"the results count {counted}, the report {tally.counts}")


def broken(rule: str, what: str) -> NoReturn:
    """A promise is broken."""
    raise Violation(rule, what)

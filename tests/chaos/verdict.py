"""Judge a batch by the relay's record, which is the truth: which promises are broken.

- Nobody is lost: everyone of the list was accepted, or is reported with an outcome that the relay's own
  refusals explain, or as `unknown` where those in doubt are held.
- Nobody is mailed twice in silence: who was accepted more than once is named as in doubt; where those in
  doubt are held, nobody was accepted twice. Each has the mail that is meant for him, under his Message-ID.
- No more are in doubt than may be: one a connection for each attempt that was superseded; beside them those
  whom relay or line left without an answer (RFC 1047), and the open rows of slices that an operator reset.
- The admins are told once, and once more at most for each crash that met the telling.
- No command is said out of order.
- Report, result, list and record agree, row by row, and so do the report and what the relay said.

What the relay's events tell of these is found by tests/chaos/causes.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from batchmail.batch.ids import mail_token
from batchmail.batch.options import InDoubt
from batchmail.batch.outcomes import FINAL_OUTCOMES, Outcome
from batchmail.batch.result import BatchResult, Status
from tests.chaos.causes import ANYBODY
from tests.program.bench import Row
from tests.relays.process import Accepted

SENDERS_DOMAIN = "sender.example"

_HEADER_LINES = 1
_MEANINGS = {
    "550 5.1.1": "the mailbox does not exist",
    "452 4.2.2": "the mailbox is full",
}
_LOST = "the connection was lost, or no answer came in time"


class Case(NamedTuple):
    """A batch that has ended, and what is known of it.

    `listed`: the addresses of the list, each once, in its order. `shown`: what each is to see, as a digest.
    `refused`, `put_off`: whom the relay refuses for good, and whom it always puts off. `accepted`: the
    relay's record. `said`: its refusals, by whom they met. `misplaced`: commands at the wrong time. `notice`:
    the Message-ID of the admins' mail. `unanswered`: whom relay or line left without an answer. `reset`: who
    was still open in slices that an operator reset. `most_in_doubt`: how many others may be in doubt.
    `most_notices`: how often an admin may have been told.
    """

    listed: Sequence[str]
    shown: Mapping[str, str]
    refused: Collection[str]
    put_off: Collection[str]
    in_doubt: InDoubt
    accepted: Sequence[Accepted]
    said: Mapping[str, Collection[str]]
    misplaced: Sequence[str]
    rows: Sequence[Row]
    result: BatchResult
    admin: str
    notice: str
    unanswered: Collection[str]
    reset: Collection[str]
    most_in_doubt: int
    most_notices: int

    @property
    def times(self) -> Counter[str]:
        """How often the relay accepted each recipient."""
        return Counter(entry.recipient for entry in self.accepted if entry.recipient != self.admin)

    @property
    def twice(self) -> list[str]:
        """Who was accepted more than once."""
        return [address for address, times in self.times.items() if times > 1]

    @property
    def doubted(self) -> int:
        """How many are reported as once in doubt."""
        return sum(row.in_doubt == "yes" for row in self.rows)

    @property
    def in_doubt_by_attempts(self) -> int:
        """How many of them can be so by a superseded attempt alone."""
        explained = {*self.unanswered, *self.reset}
        return sum(row.in_doubt == "yes" and row.address not in explained for row in self.rows)


def judge(case: Case) -> list[str]:
    """The broken promises, a sentence each; none for a clean batch."""
    return [*_by_recipient(case), *_doubts(case), *_notices(case), *_counts(case)]


# Row by row


def _by_recipient(case: Case) -> Iterator[str]:
    """What is wrong with single recipients: a sentence a kind, with how many and an example."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    reported = Counter(row.address for row in case.rows)
    times = case.times
    listed = {address: str(place + _HEADER_LINES) for place, address in enumerate(case.listed, start=1)}
    for address in case.listed:
        if reported[address] != 1:
            found[f"of the list, and {reported[address]} times in the report"].append(address)
    for address in (times.keys() | reported.keys()) - listed.keys():
        found["mailed or reported, and not of the list"].append(address)
    for row in case.rows:
        if row.address in listed and row.line != listed[row.address]:
            found["reported with another line than the list's"].append(row.address)
        for wrong in (*_wrong(case, row, times[row.address]), *_wrong_words(case, row)):
            found[wrong].append(row.address)
    for entry in case.accepted:
        if entry.recipient in listed:
            for wrong in _wrong_mail(case, entry):
                found[wrong].append(entry.recipient)
    for wrong, who in found.items():
        if who:
            yield f"{len(who):,} recipients {wrong}, such as {min(who)}"


def _wrong(case: Case, row: Row, times: int) -> Iterator[str]:
    is_doubtful = row.in_doubt == "yes"
    if row.outcome not in _explained(case, row.address, is_doubtful):
        yield f"reported {row.outcome}, which nothing that the relay said explains"
    if row.outcome == Outcome.SENT and not times:
        yield "reported sent, and never accepted"
    if row.outcome not in (Outcome.SENT, Outcome.UNKNOWN) and times and not is_doubtful:
        yield f"accepted, and reported {row.outcome}"
    if row.outcome == Outcome.UNKNOWN and not is_doubtful:
        yield "reported unknown, and not in doubt"
    if times > 1 and not is_doubtful:
        yield "accepted more than once, in silence"
    if times > 1 and case.in_doubt is InDoubt.HOLD:
        yield "accepted more than once, where those in doubt are held"


def _wrong_mail(case: Case, entry: Accepted) -> Iterator[str]:
    token = mail_token(case.result.batch_id, entry.recipient)
    if entry.message_id != f"<{token}@{SENDERS_DOMAIN}>":
        yield "accepted under a Message-ID that is not theirs"
    if entry.shown != case.shown[entry.recipient]:
        yield "accepted with a mail that is not theirs"


def _wrong_words(case: Case, row: Row) -> Iterator[str]:
    """What is wrong with code, reason and the relay's words."""
    if row.outcome == Outcome.SENT:
        if row.code or row.enhanced_code or row.relay_said or (row.reason and row.in_doubt == "no"):
            yield "reported sent, with a code, a reason or words of the relay"
        return
    own = case.said.get(row.address, ())
    answers = own if row.outcome == Outcome.REJECTED else [*own, *case.said.get(ANYBODY, ())]
    code = f"{row.code} {row.enhanced_code}".strip()
    if row.relay_said and not any(answer.endswith(f" {row.relay_said}") for answer in answers):
        yield "reported with words that the relay did not say to them"
    if code:
        if not any(answer.startswith(f"{code} ") for answer in answers):
            yield "reported with a code that the relay did not say to them"
        if f"({code} " not in row.reason or _MEANINGS.get(code, "") not in row.reason:
            yield "reported with a reason that is not their code's"
    elif row.outcome == Outcome.REJECTED:
        yield "reported rejected, without a code"
    elif row.outcome == Outcome.EXPIRED and not row.reason.startswith(_LOST):
        yield "reported expired, with neither a code nor a lost connection"


def _explained(case: Case, address: str, is_doubtful: bool) -> set[Outcome]:
    """The outcomes that a recipient may have in the end."""
    if address in case.refused:
        usual = Outcome.REJECTED
    elif address in case.put_off:
        usual = Outcome.EXPIRED
    else:
        usual = Outcome.SENT
    may_be_unknown = is_doubtful and (case.in_doubt is InDoubt.HOLD or usual is Outcome.EXPIRED)
    return {usual, Outcome.UNKNOWN} if may_be_unknown else {usual}


# In all


def _doubts(case: Case) -> Iterator[str]:
    others = case.in_doubt_by_attempts
    if others > case.most_in_doubt:
        yield (
            f"{others} are in doubt whom neither relay nor line nor reset explains, where the attempts "
            f"superseded explain {case.most_in_doubt}"
        )
    repeats = sum(times - 1 for times in case.times.values() if times > 1)
    if repeats > case.result.in_doubt_resent:
        yield (
            f"{repeats} were accepted again, where the result tells of {case.result.in_doubt_resent} resends"
        )


def _notices(case: Case) -> Iterator[str]:
    to_admin = [entry.message_id for entry in case.accepted if entry.recipient == case.admin]
    told = to_admin.count(case.notice)
    if told < len(to_admin):
        yield "the admins were told something else, too"
    if not told:
        yield "the admins were never told"
    if told > case.most_notices:
        yield f"the admins were told {told} times, where {case.most_notices} may be"
    if not case.result.admin_notified:
        yield "the result says that no admin was told"


def _counts(case: Case) -> Iterator[str]:
    result = case.result
    if case.misplaced:
        yield f"{len(case.misplaced)} commands were said out of order, such as {case.misplaced[0]}"
    if result.status is not Status.COMPLETED:
        yield f"the batch ended {result.status}"
    if result.total != len(case.listed):
        yield f"the result counts {result.total:,} recipients, where the list has {len(case.listed):,}"
    reported = Counter(row.outcome for row in case.rows)
    for outcome in FINAL_OUTCOMES:
        if reported[outcome] != (said := getattr(result, outcome)):
            yield f"the result counts {said:,} {outcome}, where the report has {reported[outcome]:,}"

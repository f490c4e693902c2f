"""The judge of chaos: a clean batch passes, and each broken promise that is planted is seen."""

from __future__ import annotations

from typing import Any

import pytest

from batchmail.batch.ids import mail_token
from batchmail.batch.options import InDoubt
from batchmail.batch.result import BatchResult, Status
from tests.chaos.causes import ANYBODY, Harm, refusals, unanswered
from tests.chaos.verdict import Case, judge
from tests.program.bench import Row
from tests.relays import Accepted, Event

ADMIN = "admin@sender.example"
NOTICE = "<notice@sender.example>"
LISTED = ANN, BOB, CARL, DORA = [f"{name}@example.com" for name in ("ann", "bob", "carl", "dora")]
NO_MAILBOX, FULL, LATER = "550 5.1.1 no such user", "452 4.2.2 mailbox full", "451 4.3.0 try again"
WHY = {
    "rejected": ("550", "5.1.1", "the mailbox does not exist (550 5.1.1 while sending RCPT TO)"),
    "expired": ("452", "4.2.2", "the mailbox is full (452 4.2.2 while sending RCPT TO)"),
}
LOST = ("", "", "the connection was lost, or no answer came in time, while sending RCPT TO")


def accepted(address: str, message_id: str = "", shown: str = "") -> Accepted:
    """A line of the record."""
    own = f"<{mail_token('batch', address)}@sender.example>"
    return Accepted(address, message_id or own, connection=1, time=0.0, file="", shown=shown or address)


def row(address: str, outcome: str = "sent", in_doubt: str = "no", **changed: str) -> Row:
    """A row of the report."""
    line = str(LISTED.index(address) + 2)
    made = Row(line, address, outcome, *WHY.get(outcome, ("", "", "")), in_doubt, "")
    return made._replace(**changed)


def why(code: str, enhanced: str, reason: str) -> dict[str, str]:
    """The cells of a row that say why."""
    return {"code": code, "enhanced_code": enhanced, "reason": reason}


def clean(**changed: Any) -> Case:
    """Ann was mailed twice, and is named; Bob once; the relay refuses Carl and puts Dora off."""
    found: dict[str, Any] = {
        "listed": LISTED,
        "shown": {address: address for address in LISTED},
        "refused": {CARL},
        "put_off": {DORA},
        "in_doubt": InDoubt.RESEND,
        "accepted": [accepted(ANN), accepted(BOB), accepted(ANN), accepted(ADMIN, NOTICE)],
        "said": {CARL: {NO_MAILBOX}, DORA: {FULL, "421 4.3.2 going down"}, ANYBODY: {LATER}},
        "misplaced": [],
        "rows": [row(ANN, in_doubt="yes"), row(BOB), row(CARL, "rejected"), row(DORA, "expired")],
        "result": result(),
        "admin": ADMIN,
        "notice": NOTICE,
        "unanswered": set(),
        "reset": set(),
        "most_in_doubt": 1,
        "most_notices": 1,
    }
    return Case(**{**found, **changed})


def result(**changed: Any) -> BatchResult:
    """What the clean batch came to."""
    found = BatchResult(
        batch_id="batch",
        status=Status.COMPLETED,
        total=4,
        sent=2,
        rejected=1,
        expired=1,
        in_doubt_resent=1,
        admin_notified=True,
    )
    return found.model_copy(update=changed)


def rows(*replaced: Row) -> list[Row]:
    """The clean report with these rows in the place of those of the same address."""
    new = {one.address: one for one in replaced}
    return [new.get(one.address, one) for one in clean().rows]


def held(**changed: Any) -> Case:
    """The same where those in doubt are held: Ann was accepted once, and is unknown."""
    found: dict[str, Any] = {
        "in_doubt": InDoubt.HOLD,
        "accepted": [accepted(ANN), accepted(BOB), accepted(ADMIN, NOTICE)],
        "rows": rows(row(ANN, "unknown", "yes")),
        "result": result(sent=1, unknown=1, in_doubt_resent=0),
    }
    return clean(**{**found, **changed})


def test_a_clean_batch_breaks_no_promise() -> None:
    assert judge(clean()) == []
    assert judge(held()) == []


PLANTED = {
    "a person was lost": (
        clean(accepted=[accepted(ANN), accepted(ANN), accepted(ADMIN, NOTICE)]),
        "reported sent, and never accepted, such as bob@",
    ),
    "a person is missing from the report": (
        clean(rows=clean().rows[1:], result=result(sent=1)),
        "of the list, and 0 times in the report, such as ann@",
    ),
    "a person is twice in the report": (
        clean(rows=[*clean().rows, row(BOB)], result=result(sent=3)),
        "of the list, and 2 times in the report, such as bob@",
    ),
    "a stranger was mailed": (
        clean(accepted=[*clean().accepted, accepted("eve@example.com")]),
        "not of the list, such as eve@",
    ),
    "twice in silence": (
        clean(rows=rows(row(ANN))),
        "accepted more than once, in silence, such as ann@",
    ),
    "twice under hold": (
        held(accepted=clean().accepted),
        "accepted more than once, where those in doubt are held",
    ),
    "twice under two Message-IDs": (
        clean(accepted=[*clean().accepted[:2], accepted(ANN, "<other>"), accepted(ADMIN, NOTICE)]),
        "a Message-ID that is not theirs, such as ann@",
    ),
    "one Message-ID for all": (
        clean(accepted=[accepted(one, f"<{mail_token('batch', '')}@sender.example>") for one in (ANN, BOB)]),
        "2 recipients accepted under a Message-ID that is not theirs",
    ),
    "one mail for all": (
        clean(accepted=[accepted(one, shown=ANN) for one in (ANN, BOB)]),
        "1 recipients accepted with a mail that is not theirs, such as bob@",
    ),
    "another's line": (clean(rows=rows(row(BOB, line="2"))), "another line than the list's, such as bob@"),
    "sent with a cause": (
        clean(rows=rows(row(BOB, **why(*WHY["expired"])))),
        "reported sent, with a code, a reason or words of the relay, such as bob@",
    ),
    "a code that the relay did not say": (
        clean(rows=rows(row(CARL, "rejected", code="551"))),
        "a code that the relay did not say to them, such as carl@",
    ),
    "the code of somebody else": (
        clean(rows=rows(row(DORA, "expired", **why(*WHY["rejected"])))),
        "a code that the relay did not say to them, such as dora@",
    ),
    "rejected by what was said to nobody in particular": (
        clean(rows=rows(row(CARL, "rejected", **why("451", "4.3.0", "something (451 4.3.0 of the relay)")))),
        "a code that the relay did not say to them, such as carl@",
    ),
    "another code's reason": (
        clean(rows=rows(row(DORA, "expired", reason=WHY["rejected"][2]))),
        "a reason that is not their code's, such as dora@",
    ),
    "another meaning": (
        clean(rows=rows(row(CARL, "rejected", reason="the mailbox is full (550 5.1.1 while sending)"))),
        "a reason that is not their code's, such as carl@",
    ),
    "words that the relay did not say": (
        clean(rows=rows(row(CARL, "rejected", relay_said="mailbox full"))),
        "words that the relay did not say to them, such as carl@",
    ),
    "rejected by a lost connection": (
        clean(rows=rows(row(CARL, "rejected", **why(*LOST)))),
        "reported rejected, without a code, such as carl@",
    ),
    "expired for nothing": (
        clean(rows=rows(row(DORA, "expired", **why("", "", "")))),
        "with neither a code nor a lost connection, such as dora@",
    ),
    "given up without a cause": (
        clean(rows=rows(row(BOB, "expired")), result=result(sent=1, expired=2)),
        "reported expired, which nothing that the relay said explains, such as bob@",
    ),
    "rejected without a cause": (
        clean(rows=rows(row(BOB, "rejected")), result=result(sent=1, rejected=2)),
        "reported rejected, which nothing",
    ),
    "accepted, and reported as refused": (
        clean(accepted=[*clean().accepted, accepted(CARL)]),
        "accepted, and reported rejected, such as carl@",
    ),
    "unknown, where everybody shall have the mail": (
        clean(rows=rows(row(ANN, "unknown", "yes")), result=result(sent=1, unknown=1)),
        "reported unknown, which nothing",
    ),
    "unknown, and not in doubt": (
        held(rows=rows(row(ANN, "unknown", "no"))),
        "reported unknown, and not in doubt",
    ),
    "more in doubt than may be": (
        clean(most_in_doubt=0, unanswered={BOB}, reset={CARL}),
        "1 are in doubt whom neither relay nor line nor reset explains, where the attempts superseded",
    ),
    "a resend that is not counted": (
        clean(result=result(in_doubt_resent=0)),
        "1 were accepted again, where the result tells of 0",
    ),
    "nobody told the admins": (clean(accepted=clean().accepted[:-1]), "the admins were never told"),
    "the admins were told another thing": (
        clean(accepted=[*clean().accepted[:-1], accepted(ADMIN, "<another>")]),
        "the admins were never told",
    ),
    "the admins were told another thing, too": (
        clean(accepted=[*clean().accepted, accepted(ADMIN, "<another>")]),
        "the admins were told something else, too",
    ),
    "told twice": (
        clean(accepted=[*clean().accepted, accepted(ADMIN, NOTICE)]),
        "told 2 times, where 1 may be",
    ),
    "told, and not known": (clean(result=result(admin_notified=False)), "no admin was told"),
    "a wrong count": (clean(result=result(sent=3)), "the result counts 3 sent, where the report has 2"),
    "a wrong total": (clean(result=result(total=5)), "the result counts 5 recipients, where the list has 4"),
    "said out of order": (
        clean(misplaced=["DATA", "DATA"]),
        "2 commands were said out of order, such as DATA",
    ),
    "cancelled by nobody": (clean(result=result(status=Status.CANCELLED)), "the batch ended cancelled"),
}


@pytest.mark.parametrize(("case", "said"), PLANTED.values(), ids=PLANTED.keys())
def test_each_broken_promise_is_seen(case: Case, said: str) -> None:
    assert any(said in broken for broken in judge(case)), judge(case)


@pytest.mark.parametrize("explained", ["unanswered", "reset"])
def test_who_is_in_doubt_by_relay_line_or_reset_comes_on_top(explained: str) -> None:
    assert judge(clean(most_in_doubt=0, **{explained: {ANN}})) == []


def test_a_refused_recipient_once_in_doubt_is_no_broken_promise() -> None:
    assert judge(clean(rows=rows(row(CARL, "rejected", "yes")), most_in_doubt=2)) == []


@pytest.mark.parametrize(
    "rest",
    [
        why(*LOST),
        why("421", "4.3.2", "something is wrong (421 4.3.2 while sending RCPT TO)"),
        why("451", "4.3.0", "something is wrong (451 4.3.0 while sending MAIL FROM)"),
        {"relay_said": "mailbox full"},
    ],
    ids=["lost", "another code of theirs", "said before they were named", "words"],
)
def test_who_is_put_off_may_end_by_any_of_the_relays_answers(rest: dict[str, str]) -> None:
    assert judge(clean(rows=rows(row(DORA, "expired", **rest)))) == []


def event(name: str, connection: int, address: str = "", line: str = "", time: float = 0.0) -> Event:
    """Something that the relay tells."""
    return Event(name, connection, address, line, time)


def mail(*stages: str, connection: int = 1, address: str = ANN, begun: float = 10.0) -> list[Event]:
    """A mail's way on a connection, a stage a second."""
    return [event(name, connection, address, time=begun + second) for second, name in enumerate(stages)]


@pytest.mark.parametrize(
    ("told", "left"),
    [
        (mail("data", "body", "dropped", "closed"), [ANN]),
        (mail("data", "body", "dot", "recorded", "dropped", "closed"), [ANN]),
        (mail("data", "dropped", "closed"), []),
        (mail("data", "body", "closed"), []),
        (mail("data", "body", "dot", "recorded", "closed"), []),
        (mail("data", "body", "dot", "refused", "closed"), []),
        (mail("data", "body", "dot", "recorded", "mail", "rcpt", "dropped", "closed"), []),
        (mail("data", "body", "dot", "recorded", "quit", "closed"), []),
        (mail("data", "body"), []),
        (
            [one for number in range(20) for one in mail("data", "body", "closed", connection=number)],
            [],
        ),
    ],
    ids=[
        "in the body",
        "before the reply",
        "before the body",
        "left by the worker",
        "closed after the reply",
        "421 at the dot",
        "in the next mail",
        "by QUIT",
        "open",
        "a killed worker's",
    ],
)
def test_who_is_left_without_an_answer_by_the_relay(told: list[Event], left: list[str]) -> None:
    assert unanswered(told, harms=[]) == left


@pytest.mark.parametrize(
    ("told", "left"),
    [
        (mail("data", "body", "closed", begun=20.0), [ANN]),
        (mail("data", "body", "closed", begun=19.0), [ANN]),
        (mail("data", "body", "closed", begun=17.0), []),
        (mail("data", "body", "closed", begun=31.0), []),
        (mail("data", "body", "dot", "recorded", "closed", begun=18.0), [ANN]),
        (mail("data", "body", "dot", "recorded", "closed", begun=15.0), []),
        (mail("data", "body", "dot", "refused", "closed", begun=18.0), [ANN]),
        (mail("data", "refused", "closed", begun=20.0), []),
        (mail("data", "body", begun=18.0) + mail("data", "body", connection=2, address=BOB), [ANN, BOB]),
        (mail("data", "dropped", "closed", begun=20.0), []),
    ],
    ids=[
        "within",
        "cut by it",
        "before",
        "after",
        "its reply",
        "replied long before",
        "its refusal",
        "refused before the body",
        "killed relay",
        "dropped by the relay before the body",
    ],
)
def test_who_is_left_without_an_answer_by_a_harm(told: list[Event], left: list[str]) -> None:
    assert unanswered(told, harms=[Harm(20.0, 30.0)]) == left


def test_refusals_are_known_by_whom_they_met() -> None:
    told = [
        event("refused", 1, CARL, NO_MAILBOX),
        event("refused", 1, ANYBODY, LATER),
        event("rcpt", 1, BOB, "RCPT TO:<bob@example.com>"),
    ]
    assert refusals(told) == {CARL: {NO_MAILBOX}, ANYBODY: {LATER}}

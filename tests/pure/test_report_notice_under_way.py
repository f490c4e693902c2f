"""The mails to the admins of a batch that is under way: true whenever they are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from pydantic import ValidationError

from batchmail.batch.brake import Brake
from batchmail.batch.progress import Waiting
from batchmail.batch.result import BatchResult, Status
from batchmail.batch.tasks import LongWait, Notice, Part, TooManyRejected
from batchmail.report.admin_mail import Heads
from batchmail.report.notice_under_way import Subject, rejections_notice, wait_notice

NOON = datetime(2031, 4, 1, 12, 0, tzinfo=UTC)
HEADS = Heads("news@example.org", "admin@example.org", "<0123456789abcdef@example.org>", NOON)
ABOUT = Subject("spring-news", "emails.csv", "Hello")
BRAKE = Brake(limit_percent=20, settled=600, rejected=143)
RELAY = Waiting(what="the relay is out of reach", since=NOON - timedelta(minutes=16))


def read(data: bytes) -> EmailMessage:
    assert data.endswith(b"\r\n.\r\n")
    mail = message_from_bytes(data.removesuffix(b".\r\n"), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_the_question_says_what_is_the_matter_and_both_answers() -> None:
    reasons = [("the mailbox does not exist (550 5.1.1)", 120), ("the mailbox is full (552 5.2.2)", 23)]
    mail = read(rejections_notice(ABOUT, BRAKE, NOON, reasons, HEADS))
    assert mail["Subject"] == "[batchmail] emails.csv: paused, 143 of 600 rejected"
    lines = mail.get_content().splitlines()
    assert "Paused:   2031-04-01 12:00 UTC" in lines
    assert "Then 143 of 600 recipients were rejected (23.9 %, limit 20 %)." in lines
    assert "      120  the mailbox does not exist (550 5.1.1)" in lines
    assert "  python starter.py resume spring-news" in lines
    assert "  python starter.py cancel spring-news" in lines


def test_a_question_without_reasons_leaves_them_out() -> None:
    assert "reasons" not in read(rejections_notice(ABOUT, BRAKE, NOON, [], HEADS)).get_content()


def test_a_long_wait_is_told_in_words_that_hold_when_it_is_over() -> None:
    text = read(wait_notice(ABOUT, [RELAY], NOON, HEADS)).get_content()
    assert "What it waited for at 2031-04-01 12:00 UTC:" in text
    assert "  since 2031-04-01 11:44 UTC: the relay is out of reach" in text
    assert "goes on by itself" in text
    assert "the wait may be over when you read it" in text
    assert "python starter.py status spring-news" in text


def test_nothing_from_outside_makes_a_header_or_a_line() -> None:
    about = ABOUT._replace(list_name="a\r\nBcc: x@example.org\r\n\r\n.csv", message_subject="b\nc")
    for data in (
        rejections_notice(about, BRAKE, NOON, [("d\ne", 1)], HEADS),
        wait_notice(about, [RELAY], NOON, HEADS),
    ):
        mail = read(data)
        assert mail["Bcc"] is None
        assert not any(line.startswith(("Bcc", ".csv", "c", "e")) for line in mail.get_content().splitlines())


# Names

PART = Part(batch="b", snapshot="s", message="m", first=1, last=1, connections=1)
ENDED = BatchResult(batch_id="b", status=Status.COMPLETED, total=0)


def notice(**what: object) -> Notice:
    return Notice.model_validate({"list_name": "l.csv", "admins": ("a@example.org",), "part": PART, **what})


def test_each_notice_has_a_name_of_its_own() -> None:
    later = NOON + timedelta(seconds=1)
    names = [
        notice(result=ENDED).name,
        notice(too_many_rejected=TooManyRejected(brake=BRAKE, since=NOON)).name,
        notice(too_many_rejected=TooManyRejected(brake=BRAKE, since=later)).name,
        notice(long_wait=LongWait(waiting=(RELAY,), as_of=NOON)).name,
        notice(long_wait=LongWait(waiting=(RELAY,), as_of=later)).name,
    ]
    assert len(set(names)) == len(names)
    assert names[0] == "notice", "as it was before there were others"


@pytest.mark.parametrize("what", [{}, {"result": ENDED, "long_wait": LongWait(waiting=(RELAY,), as_of=NOON)}])
def test_a_notice_tells_exactly_one_thing(what: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="exactly one thing"):
        notice(**what)

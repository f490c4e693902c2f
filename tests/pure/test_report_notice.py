"""The admins' mail: what it says, and that nothing from outside can make it say more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.outcomes import Outcome
from batchmail.batch.result import BatchResult, Status
from batchmail.report.admin_mail import Heads
from batchmail.report.failures import Failure
from batchmail.report.notice import headline, notice

_NO_MAILBOX = Failure(line=17, outcome=Outcome.REJECTED, reason="the mailbox does not exist (550 5.1.1)")


def _result(**counts: object) -> BatchResult:
    given = {
        "batch_id": "batch-1",
        "status": Status.COMPLETED,
        "seconds": 85.0,
        "report": "/store/report.csv",
    }
    return BatchResult.model_validate({**given, **counts})


def _data(
    result: BatchResult,
    *,
    list_name: str = "emails.csv",
    subject: str = "Hello",
    failures: Sequence[Failure] = (),
    sender: str = "news@example.org",
    to: str = "admin@example.org",
) -> bytes:
    date = datetime(2031, 4, 1, 3, 0, tzinfo=UTC)
    return notice(
        result,
        Heads(sender, to, "<0123456789abcdef@example.org>", date),
        list_name=list_name,
        message_subject=subject,
        failures=failures,
    )


def _read(data: bytes) -> EmailMessage:
    """The mail as a mailbox has it, after the rules of SMTP (RFC 5321, section 4.5.2)."""
    assert data.endswith(b"\r\n.\r\n")
    lines = data.removesuffix(b".\r\n").split(b"\r\n")
    assert b"." not in lines
    unstuffed = b"\r\n".join(line.removeprefix(b".") for line in lines)
    mail = message_from_bytes(unstuffed, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def _body(data: bytes) -> str:
    body = _read(data).get_content()
    assert isinstance(body, str)
    return body.replace("\r\n", "\n")


def test_it_says_all_that_an_admin_asks() -> None:
    data = _data(
        _result(
            total=10_000,
            sent=9_996,
            rejected=2,
            unknown=2,
            duplicates_in_list=12,
            invalid_rows=1,
            in_doubt_resent=3,
        ),
        failures=[_NO_MAILBOX],
    )
    assert _body(data).splitlines() == [
        "The batch has ended, and not everyone was mailed.",
        "",
        "List:     emails.csv",
        "Message:  Hello",
        "Batch:    batch-1",
        "Status:   completed",
        "Duration: 1 min 25 s",
        "",
        "Recipients        10,000",
        "  sent             9,996",
        "  rejected             2  refused for good",
        "  unknown              2  may have been delivered, or may yet be: yours to decide",
        "",
        "In doubt and sent again: 3. Some people may have the mail",
        "twice, under one Message-ID: it was unclear whether the relay had it. The report says who.",
        "Left out of the list: 12 duplicates and 1 row that could not be used.",
        "",
        "First failures, by line of the list:",
        "  line 17: rejected, the mailbox does not exist (550 5.1.1)",
        "  and 3 more: see the report",
        "",
        "Report, a row a recipient: /store/report.csv",
    ]


def test_its_headers_are_those_of_a_mail_by_a_program() -> None:
    mail = _read(_data(_result(total=1, sent=1)))
    assert dict(mail.items()) == {
        "From": "news@example.org",
        "To": "admin@example.org",
        "Subject": "[batchmail] emails.csv: all 1 sent",
        "Date": "Tue, 01 Apr 2031 03:00:00 +0000",
        "Message-ID": "<0123456789abcdef@example.org>",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"total": 10_000, "sent": 9_998, "rejected": 2}, "9,998 of 10,000 sent, 2 rejected"),
        ({"total": 3, "sent": 3}, "all 3 sent"),
        ({"total": 0}, "nobody to mail"),
        ({"total": 3, "expired": 1, "unknown": 2}, "0 of 3 sent, 1 expired, 2 unknown"),
        (
            {"total": 9, "sent": 4, "suppressed": 5, "status": Status.CANCELLED},
            "cancelled, 4 of 9 sent, 5 suppressed",
        ),
    ],
)
def test_its_subject_is_the_batch_in_half_a_line(counts: dict[str, object], said: str) -> None:
    assert headline(_result(**counts)) == said
    assert _read(_data(_result(**counts)))["Subject"] == f"[batchmail] emails.csv: {said}"


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"total": 3, "sent": 3}, "The batch has ended: the relay took the mail for everyone."),
        ({"total": 0}, "The batch has ended: its list had nobody to mail."),
        (
            {"total": 3, "sent": 1, "unknown": 2},
            "The batch has ended. Whether the relay took the mail is not known for 2.",
        ),
        ({"total": 3, "sent": 1, "rejected": 2}, "The batch has ended, and not everyone was mailed."),
        (
            {"total": 3, "sent": 1, "suppressed": 2, "status": Status.CANCELLED},
            "The batch was cancelled. What became of everyone until then:",
        ),
    ],
)
def test_it_opens_with_the_truth(counts: dict[str, object], said: str) -> None:
    assert _body(_data(_result(**counts))).splitlines()[0] == said


def test_what_is_nought_is_left_out() -> None:
    body = _body(_data(_result(total=2, sent=2), subject=""))
    assert not any(
        word in body for word in ("rejected", "unknown", "doubt", "Left out", "failures", "Message:")
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0.0 s"), (3.21, "3.2 s"), (59.9, "1 min"), (85.3, "1 min 25 s"), (93_780.0, "26 h 3 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert f"Duration: {said}\n" in _body(_data(_result(total=1, sent=1, seconds=seconds)))


@given(st.text(), st.text(), st.text())
def test_nothing_from_outside_makes_a_header_or_a_line(name: str, subject: str, report: str) -> None:
    plain = _data(_result(total=3, sent=2, rejected=1), failures=[_NO_MAILBOX])
    failure = Failure(line=17, outcome=Outcome.REJECTED, reason="x\r\n.\r\nMAIL FROM:<evil@example.org>")
    data = _data(
        _result(total=3, sent=2, rejected=1, report=f"{report}\r\n.\r\n"),
        list_name=f"{name}\r\nBcc: evil@example.org\r\n\r\nhello\r\n.\r\n",
        subject=f"{subject}x",
        failures=[failure],
    )
    assert data.isascii()
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert _read(data).keys() == _read(plain).keys()
    assert len(_body(data).splitlines()) == len(_body(plain).splitlines())


def test_a_wrapped_line_that_begins_with_a_dot_is_not_shortened() -> None:
    report = "/é" + "." * 300
    data = _data(_result(total=1, sent=1, report=report))
    assert b"\r\n.." in data
    assert _body(data).endswith(f"{report}\n")


def test_names_in_any_language_arrive_as_they_are() -> None:
    data = _data(_result(total=1, sent=1), list_name="Empfänger 名簿.csv", subject="Grüße")
    assert _read(data)["Subject"] == "[batchmail] Empfänger 名簿.csv: all 1 sent"
    assert "List:     Empfänger 名簿.csv\nMessage:  Grüße\n" in _body(data)


def test_an_international_admin_is_written_in_utf_8() -> None:
    data = _data(_result(total=1, sent=1), to="jörg@example.org")
    assert "\r\nTo: jörg@example.org\r\n".encode() in data


@pytest.mark.parametrize("address", ["a@example.org\r\nBcc: evil@example.org", "a@example.org\nX: y"])
@pytest.mark.parametrize("where", ["sender", "to"])
def test_an_address_with_a_line_end_is_refused(where: str, address: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)linefeed|newline|carriage"):
        _data(_result(total=1, sent=1), **{where: address})  # type: ignore[arg-type]

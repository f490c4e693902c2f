"""Reasons are our own sentences, for whatever a relay may answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.outcomes import NO_CAUSE, Cause, Stage
from batchmail.relay.reasons import reason
from batchmail.relay.stages import STAGES


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (Cause(Stage.RCPT, 550, "5.1.1"), "the mailbox does not exist (550 5.1.1 while sending RCPT TO)"),
        (Cause(Stage.RCPT, 550), "the mailbox is not available (550 while sending RCPT TO)"),
        (Cause(Stage.RCPT, 452, "4.2.2"), "the mailbox is full (452 4.2.2 while sending RCPT TO)"),
        (Cause(Stage.DATA, 599, ""), "the relay refused it (599 while sending DATA)"),
        (Cause(Stage.DOT, 499, ""), "the relay refused it for now (499 after the end of the message)"),
        (
            Cause(Stage.DATA, 554, "5.7.99"),
            "a rule of the mail system (security, spam or rate) forbids it (554 5.7.99 while sending DATA)",
        ),
        (
            Cause(Stage.MAIL, 530, "5.7.0"),
            "the relay demands a login or encryption; set SMTP_USERNAME and SMTP_PASSWORD, or SMTP_TLS "
            "(530 5.7.0 while sending MAIL FROM)",
        ),
        (
            Cause(Stage.AUTH, 454, "4.7.0"),
            "the relay cannot check the login at present (454 4.7.0 while logging in)",
        ),
        (
            Cause(Stage.RCPT, 454, "4.5.3"),
            "the message has too many recipients (454 4.5.3 while sending RCPT TO)",
        ),
        (Cause(Stage.DOT, 250, "2.0.0"), "accepted by the relay (250 2.0.0 after the end of the message)"),
        (
            Cause(Stage.DOT),
            "the connection was lost, or no answer came in time, after the end of the message",
        ),
        (Cause(Stage.DATA, 250), "the relay gave an answer out of place (250 while sending DATA)"),
        (Cause(Stage.FILL), "the message could not be filled with this recipient's fields"),
        (NO_CAUSE, ""),
    ],
)
def test_a_cause_is_told_in_our_words(cause: Cause, expected: str) -> None:
    assert reason(cause) == expected


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (530, "demands a login or encryption; set SMTP_USERNAME and SMTP_PASSWORD"),
        (534, "this kind of login is too weak"),
        (535, "the login is wrong; check SMTP_USERNAME and SMTP_PASSWORD"),
        (538, "needs an encrypted connection; set SMTP_TLS to starttls or implicit"),
    ],
)
@pytest.mark.parametrize("enhanced", ["", "5.7.0", "5.7.1", "5.7.8", "5.0.0"])
def test_a_code_about_the_login_says_more_than_its_enhanced_code(code: int, says: str, enhanced: str) -> None:
    assert says in reason(Cause(Stage.MAIL, code, enhanced))


@given(
    st.sampled_from(list(STAGES)),
    st.integers(200, 599),
    st.from_regex(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})?", fullmatch=True),
)
def test_every_cause_has_a_reason(stage: Stage, code: int, enhanced: str) -> None:
    told = reason(Cause(stage, code, enhanced))
    assert str(code) in told
    assert enhanced in told
    assert STAGES[stage].phrase in told


def test_every_stage_in_which_the_relay_speaks_is_in_the_table() -> None:
    assert set(STAGES) == set(Stage) - {Stage.NONE, Stage.FILL}

"""The outcome table, row by row."""

from __future__ import annotations

import pytest

from batchmail.batch.outcomes import Cause, Follows, Stage
from batchmail.relay.verdict import LOST, verdict

OPENING = [Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH]
BEFORE_BODY = [Stage.RSET, Stage.MAIL, Stage.RCPT, Stage.DATA]
BODY_BEGUN = [Stage.BODY, Stage.DOT]
SPOKEN_FOR_ONE = [Stage.RCPT, Stage.DATA, Stage.BODY, Stage.DOT]
"""Where a refusal is about this recipient or this message."""


def follows(stage: Stage, code: int, enhanced: str = "") -> Follows:
    return verdict(stage, code, enhanced).follows


@pytest.mark.parametrize("stage", OPENING)
@pytest.mark.parametrize(("code", "enhanced"), [(LOST, ""), (421, "4.3.2"), (454, "4.7.0"), (554, "5.7.1")])
def test_nothing_before_mail_is_the_recipients_fault(stage: Stage, code: int, enhanced: str) -> None:
    assert follows(stage, code, enhanced) is Follows.RELAY_FAULT


@pytest.mark.parametrize("stage", [*OPENING, *BEFORE_BODY, *BODY_BEGUN])
@pytest.mark.parametrize(
    ("code", "enhanced"),
    [
        (530, "5.7.0"),
        (530, ""),
        (535, "5.7.8"),
        (534, "5.7.9"),
        (538, "5.7.11"),
        (550, "5.1.7"),
        (450, "4.1.7"),
        (553, "5.1.8"),
        (451, "4.1.8"),
        (550, "5.4.5"),
        (552, "5.1.8"),
        (421, "4.1.8"),
    ],
)
def test_a_refused_login_sender_or_quota_is_the_relays_fault_at_any_stage(
    stage: Stage, code: int, enhanced: str
) -> None:
    assert follows(stage, code, enhanced) is Follows.RELAY_FAULT


@pytest.mark.parametrize("enhanced", ["5.1.70", "5.11.7", "5.1.1", "4.4.5"])
def test_codes_that_only_resemble_the_relays_faults_are_not(enhanced: str) -> None:
    assert follows(Stage.RCPT, 550, enhanced) is Follows.REJECTED


@pytest.mark.parametrize("stage", BEFORE_BODY)
@pytest.mark.parametrize(("code", "enhanced"), [(LOST, ""), (421, "4.3.2"), (421, "")])
def test_a_connection_lost_before_the_body_leaves_the_recipient_pending(
    stage: Stage, code: int, enhanced: str
) -> None:
    assert follows(stage, code, enhanced) is Follows.PENDING


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
def test_a_relay_that_is_out_of_step_leaves_the_recipient_pending(stage: Stage) -> None:
    assert follows(stage, 503, "5.5.1") is Follows.PENDING


@pytest.mark.parametrize("stage", BODY_BEGUN)
def test_a_connection_lost_after_the_body_began_leaves_the_recipient_in_doubt(stage: Stage) -> None:
    assert follows(stage, LOST) is Follows.IN_DOUBT


@pytest.mark.parametrize(("code", "enhanced"), [(550, ""), (450, "4.7.1"), (553, "5.7.1"), (452, "4.3.1")])
def test_a_refused_sender_is_the_relays_fault(code: int, enhanced: str) -> None:
    assert follows(Stage.MAIL, code, enhanced) is Follows.RELAY_FAULT


@pytest.mark.parametrize(
    ("code", "enhanced", "expected"),
    [
        (552, "", Follows.REJECTED),
        (552, "5.3.4", Follows.REJECTED),
        (554, "5.3.4", Follows.REJECTED),
        (452, "4.3.4", Follows.DEFERRED),
    ],
)
def test_a_message_too_large_at_mail_is_the_messages_fault(
    code: int, enhanced: str, expected: Follows
) -> None:
    assert follows(Stage.MAIL, code, enhanced) is expected


@pytest.mark.parametrize("stage", SPOKEN_FOR_ONE)
@pytest.mark.parametrize(("code", "enhanced"), [(450, ""), (450, "4.2.1"), (451, "4.7.1"), (452, "4.2.2")])
def test_a_4xx_defers(stage: Stage, code: int, enhanced: str) -> None:
    assert follows(stage, code, enhanced) is Follows.DEFERRED


@pytest.mark.parametrize("stage", SPOKEN_FOR_ONE)
@pytest.mark.parametrize(("code", "enhanced"), [(550, "5.1.1"), (550, ""), (552, "5.2.2"), (554, "5.7.1")])
def test_a_5xx_rejects(stage: Stage, code: int, enhanced: str) -> None:
    assert follows(stage, code, enhanced) is Follows.REJECTED


@pytest.mark.parametrize("stage", BODY_BEGUN)
def test_a_421_once_the_body_has_begun_defers(stage: Stage) -> None:
    assert follows(stage, 421, "4.3.2") is Follows.DEFERRED


@pytest.mark.parametrize("code", [250, 251, 200, 299])
def test_a_2xx_after_the_final_dot_is_sent(code: int) -> None:
    assert follows(Stage.DOT, code, "2.0.0") is Follows.SENT


@pytest.mark.parametrize(
    ("stage", "code", "expected"),
    [
        (Stage.RSET, 354, Follows.PENDING),
        (Stage.MAIL, 354, Follows.PENDING),
        (Stage.RCPT, 354, Follows.PENDING),
        (Stage.DATA, 250, Follows.PENDING),
        (Stage.BODY, 250, Follows.IN_DOUBT),
        (Stage.DOT, 354, Follows.IN_DOUBT),
    ],
)
def test_an_answer_out_of_place_counts_as_none(stage: Stage, code: int, expected: Follows) -> None:
    assert follows(stage, code) is expected


@pytest.mark.parametrize("code", [450, 502, 550])
def test_a_refused_rset_leaves_the_recipient_pending(code: int) -> None:
    assert follows(Stage.RSET, code) is Follows.PENDING


def test_the_cause_is_kept_as_it_came() -> None:
    assert verdict(Stage.RCPT, 550, "5.1.1").cause == Cause(Stage.RCPT, 550, "5.1.1")


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.FILL])
def test_what_is_no_stage_of_a_session_has_no_verdict(stage: Stage) -> None:
    with pytest.raises(ValueError, match="not a stage"):
        verdict(stage, 550)


@pytest.mark.parametrize("stage", [*OPENING, *BEFORE_BODY, *BODY_BEGUN])
def test_no_refusal_is_taken_for_sent_or_leaves_a_doubt(stage: Stage) -> None:
    found = {follows(stage, code) for code in range(400, 600)}
    assert not found & {Follows.SENT, Follows.IN_DOUBT}

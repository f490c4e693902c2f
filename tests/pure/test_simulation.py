"""Thousands of lives of a batch, none of which may break a promise; and planted bugs, each of which must."""

from __future__ import annotations

from collections import Counter

import pytest

from batchmail.batch import attempt
from tests.simulation.lives import again, broken_by, from_seed, live
from tests.simulation.planted import BUGS
from tests.simulation.search import search
from tests.simulation.setting import Setting
from tests.simulation.shrinking import shrunk

LIVES = 2_000
LIVES_WITH_A_BUG = 2_000

TROUBLES = {
    "activity pause", "activity reset", "activity reset, heartbeats too", "answer YES_END", "answer YES_STOP",
    "answer lost", "body lost", "cancel", "close", "continue as new", "double", "drop", "eviction", "freeze",
    "give up", "hang", "kill", "kill all", "loss", "pause", "relay defers", "relay is at fault for",
    "relay rejects", "relay restart", "server restart", "stop", "task lost", "unclear",
    "workflow reset to a later point", "workflow reset to the start",
}  # fmt: skip


def broken_with(name: str) -> None:
    """Lives led by this bug break a promise, and one that they must break."""
    bug = BUGS[name]
    lived = live(range(LIVES_WITH_A_BUG), bug.plant, Setting.given(bug.setting), bug.script)
    assert lived.broken is not None, f"{lived.lives} lives with it broke nothing"
    assert lived.broken.rule in bug.rules, lived.broken


def test_no_life_of_a_batch_breaks_a_promise_and_every_trouble_occurs() -> None:
    lived = live(range(LIVES))
    assert lived.broken is None, (lived.seed, lived.broken)
    assert lived.happened.keys() == TROUBLES


def test_no_life_in_which_refusals_in_a_row_are_the_relays_breaks_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempt.streak, "__defaults__", (2,))
    lived = live(range(LIVES // 8), fixed={"rows": 4, "refusals": 8})
    assert lived.broken is None, (lived.seed, lived.broken)


def test_no_life_that_deviates_from_the_calm_one_in_a_single_step_breaks_one() -> None:
    setting = Setting(
        rows=2, faults=1, refusals=1, evictions=1, stops=1, pauses=1, cancels=1, continues=1,
        activity_pauses=1, activity_resets=1, workflow_resets=1,
    )  # fmt: skip
    happened = Counter[str]()
    for one in (setting, setting._replace(slices=2, rows=1, ahead=1, hold=True)):
        lived = search(one, deviations=1)
        assert lived.broken is None, lived.broken
        happened.update(lived.happened)
    # The rest takes two steps: nobody to kill beside another, no heartbeat that is late.
    assert happened.keys() >= TROUBLES - {"give up", "kill all"}


def test_the_same_seed_is_the_same_life_and_its_choices_tell_it_again() -> None:
    one, other = from_seed(7), from_seed(7)
    one.live()
    other.live()
    assert one.taken == other.taken
    told = again(one.setting, one.taken)
    told.live()
    assert (told.taken, told.promises.accepted, told.now) == (one.taken, one.promises.accepted, one.now)


def test_a_life_that_breaks_a_promise_is_told_short_and_can_be_led_again() -> None:
    bug = BUGS["ForgetsAFile"]
    found = live(range(LIVES_WITH_A_BUG), bug.plant, Setting.given(bug.setting)).broken
    assert found is not None
    short = shrunk(found, bug.plant)
    assert len(short.taken) < len(found.taken)
    assert sum(map(bool, short.taken)) <= 6 < sum(map(bool, found.taken))
    told = again(short.setting, short.taken, bug.plant)
    broken = broken_by(told)
    assert broken is not None
    assert broken.rule == found.rule == "P1"
    assert broken_by(again(short.setting, short.taken)) is None


def test_the_lives_that_find_a_bug_are_clean_without_it() -> None:
    for name, bug in BUGS.items():
        lived = live(range(50), None, Setting.given(bug.setting), bug.script)
        assert lived.broken is None, (name, lived.seed, lived.broken)


def test_an_attempt_without_lease_is_found() -> None:
    broken_with("NoLease")


def test_a_lease_that_counts_from_the_answer_is_found() -> None:
    broken_with("LeaseFromTheAnswer")


def test_siblings_that_go_on_after_one_failed_are_found() -> None:
    broken_with("SiblingsGoOn")


def test_doubts_that_are_sent_again_before_the_attempts_own_acknowledgement_are_found() -> None:
    broken_with("ResendsBeforeItsAcknowledgement")


def test_a_yes_that_is_taken_for_somebody_it_did_not_name_is_found() -> None:
    broken_with("SendsTheUnacknowledged")


def test_an_unclear_answer_that_does_not_end_the_attempt_is_found() -> None:
    broken_with("GoesOnAfterAnUnclearAnswer")


def test_an_outcome_file_before_the_acknowledgement_is_found() -> None:
    broken_with("FilesTooEarly")


def test_an_outcome_file_that_is_not_named_by_its_content_is_found() -> None:
    broken_with("NamesFilesByPart")


def test_a_mark_that_is_dropped_after_a_resend_is_found() -> None:
    broken_with("ForgetsTheMarkOnSuccess")


def test_a_mark_that_is_dropped_at_a_hand_back_is_found() -> None:
    broken_with("DropsMarksAtHandBack")


def test_nonces_that_are_dropped_at_a_hand_back_are_found() -> None:
    broken_with("HandsBackWithoutNonces")


def test_a_missing_marker_is_found() -> None:
    broken_with("WithoutMarker")


def test_a_missing_second_listing_is_found() -> None:
    broken_with("WithoutSecondListing")


def test_a_ledger_that_is_taken_for_none_is_found() -> None:
    broken_with("StartsAfresh")


def test_a_ledger_that_is_not_scheduled_again_is_found() -> None:
    broken_with("ForgetsTheLedger")


def test_a_file_that_the_workflow_does_not_note_is_found() -> None:
    broken_with("ForgetsAFile")


def test_deferred_recipients_who_are_never_due_are_found() -> None:
    broken_with("NeverDue")

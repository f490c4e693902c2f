"""A slice from part to part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batchmail.batch.chains import Chain, after, fresh, next_part, woken
from batchmail.batch.ledger import DEFERRED, PENDING, SENT, Ledger
from batchmail.batch.retry import Retries
from batchmail.batch.tasks import Part, PartResult

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WHOLE = Part(batch="b", snapshot="s", message="m", first=1, last=100, connections=5)
RETRIES = Retries(delays=(MINUTE, 2 * MINUTE), give_up_after=timedelta(hours=1))
NEW = Chain(first=11, last=13)


def ended(*states: int) -> PartResult:
    """The result of a part of three rows that left them so."""
    rest = Ledger(11, bytes(states)).rest()
    return PartResult(
        pending=states.count(PENDING), deferred=states.count(DEFERRED), rest=rest.record() if rest else None
    )


def round_(chain: Chain, at: datetime, *states: int) -> Chain:
    """The chain after a part that began then."""
    found = after(woken(chain, at, RETRIES), ended(*states), at, RETRIES)
    assert found is not None
    return found


def test_a_part_is_its_chain_s_rows_of_the_batch() -> None:
    part = next_part(NEW, WHOLE, opens_connections=True)
    assert part == WHOLE.model_copy(update={"first": 11, "last": 13})


def test_a_slice_whose_rows_are_all_settled_has_ended() -> None:
    assert after(NEW, ended(SENT, SENT, SENT), NOON, RETRIES) is None


def test_what_is_handed_back_goes_on_at_once_with_its_ledger() -> None:
    result = ended(SENT, PENDING, DEFERRED)
    left = after(NEW, result, NOON, RETRIES)
    assert left is not None
    assert left.due is None
    part = next_part(left, WHOLE, opens_connections=False)
    assert part.ledger == result.rest
    assert not part.due
    assert not part.opens_connections


def test_when_only_deferred_recipients_are_left_they_wait_for_their_next_try() -> None:
    left = after(NEW, ended(SENT, DEFERRED, DEFERRED), NOON, RETRIES)
    assert left is not None
    assert left.due == NOON + MINUTE
    assert left.deferred == 2
    again = woken(left, NOON + MINUTE, RETRIES)
    assert again.due is None
    assert next_part(again, WHOLE, opens_connections=True).due


def test_the_time_to_give_up_counts_from_the_first_deferral() -> None:
    chain = after(NEW, ended(DEFERRED, DEFERRED, DEFERRED), NOON, RETRIES)
    assert chain is not None
    for minutes in (1, 3, 59):
        chain = round_(chain, NOON + minutes * MINUTE, DEFERRED, DEFERRED, DEFERRED)
        assert not chain.last_try
    assert chain.due == NOON + 60 * MINUTE
    assert woken(chain, NOON + 60 * MINUTE, RETRIES).last_try


def test_a_round_that_began_before_the_time_to_give_up_gives_nobody_up_however_long_it_takes() -> None:
    """Some of its recipients may have their first try in its last part."""
    handed_back = after(NEW, ended(PENDING, DEFERRED, DEFERRED), NOON, RETRIES)
    assert handed_back is not None
    late = after(handed_back, ended(SENT, DEFERRED, DEFERRED), NOON + timedelta(hours=9), RETRIES)
    assert late is not None
    assert not late.last_try
    assert late.due == NOON + timedelta(hours=9) + MINUTE


def test_what_the_last_try_hands_back_is_tried_last_too() -> None:
    chain = after(NEW, ended(SENT, DEFERRED, DEFERRED), NOON, RETRIES)
    assert chain is not None
    last = round_(chain, NOON + 60 * MINUTE, SENT, PENDING, DEFERRED)
    assert next_part(last, WHOLE, opens_connections=True).last_try


def test_a_cancel_wakes_a_slice_before_it_is_due() -> None:
    chain = after(NEW, ended(SENT, DEFERRED, DEFERRED), NOON, RETRIES)
    assert chain is not None
    assert woken(chain, NOON, RETRIES).is_due


def test_without_delays_the_first_try_is_the_last() -> None:
    assert [chain.last_try for chain in fresh([(1, 5), (6, 9)], Retries(delays=()))] == [True, True]
    assert [chain.last_try for chain in fresh([(1, 5)], RETRIES)] == [False]


def test_a_chain_reads_as_it_was_written() -> None:
    chain = after(NEW, ended(SENT, DEFERRED, DEFERRED), NOON, RETRIES)
    assert chain is not None
    assert Chain.model_validate_json(chain.model_dump_json()) == chain

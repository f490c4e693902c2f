"""What a batch may be started with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from batchmail.batch.options import DEFAULT_RETRY_DELAYS, BatchOptions, BatchRequest, InDoubt

BY_ID = {"snapshot": "s1", "message": "m1"}


@pytest.mark.parametrize(
    "request_",
    [
        BY_ID,
        {"snapshot": "s1", "message_location": "m.md"},
        {"list": "l.csv", "message": "m1"},
        {"list": "l.csv", "email_column": "Mail", "message_location": "m.md"},
    ],
)
def test_list_and_message_are_given_by_id_or_by_location(request_: dict[str, str]) -> None:
    found = BatchRequest.model_validate(request_)
    assert BatchRequest.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"message": "m1"}, "give either `snapshot`"),
        ({**BY_ID, "list": "l.csv"}, "give either `snapshot`"),
        ({"snapshot": "s1"}, "give either `message`"),
        ({**BY_ID, "message_location": "m.md"}, "give either `message`"),
        ({**BY_ID, "recipients": ["a@x.org"]}, "recipients"),
    ],
)
def test_both_neither_or_anything_else_is_refused(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BatchRequest.model_validate(request_)


@pytest.mark.parametrize(
    "option",
    [
        {"connections": 0},
        {"connections": 2_001},
        {"slice_size": 0},
        {"slice_size": 20_001},
        {"in_doubt": "perhaps"},
        {"heartbeat_timeout": timedelta(0)},
        {"retry_interval": timedelta(seconds=-1)},
        {"retry_delays": (timedelta(minutes=1), timedelta(seconds=-1))},
        {"give_up_after": timedelta(0)},
        {"give_up_after": timedelta(days=101)},
        {"max_rejected_percent": -1},
        {"max_rejected_percent": 100.5},
        {"tell_after": timedelta(0)},
        {"conections": 5},
    ],
)
def test_an_option_out_of_its_bounds_is_refused_by_name(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(option))):
        BatchOptions.model_validate(option)


def test_the_defaults_are_those_of_the_documentation() -> None:
    options = BatchOptions()
    assert options.connections == 20
    assert options.in_doubt is InDoubt.RESEND
    assert options.heartbeat_timeout == timedelta(seconds=10)
    assert options.retry_interval == timedelta(seconds=1)
    assert options.max_rejected_percent == 20
    assert options.tell_after == timedelta(minutes=15)
    retries = options.retries("batch-1")
    assert retries.delays == DEFAULT_RETRY_DELAYS
    assert retries.give_up_after == options.give_up_after == timedelta(hours=24)


def test_retry_delays_when_given_alone_decide_when_somebody_is_given_up() -> None:
    retries = BatchOptions(retry_delays=(timedelta(minutes=1),), give_up_after=timedelta(days=2)).retries("b")
    assert retries.delays == (timedelta(minutes=1),)
    assert retries.give_up_after is None


def test_an_input_from_before_there_was_a_time_to_give_up_keeps_its_meaning() -> None:
    """Starters have always written their delays out, the defaults too."""
    retries = BatchOptions.model_validate_json('{"retry_delays": ["PT1M", "PT4H"]}').retries("b")
    assert retries.delays == (timedelta(minutes=1), timedelta(hours=4))
    assert retries.give_up_after is None


def test_no_retry_delays_at_all_are_allowed() -> None:
    assert BatchOptions(retry_delays=()).retries("b").delays == ()

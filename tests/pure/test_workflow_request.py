"""What does not fit as a batch's input is refused for good, by a sentence that shows nobody's address."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError

from batchmail.batch.options import BatchRequest
from workflows.request import Request

FITS = {"list": "emails.csv", "message_location": "message.md"}


def read(given: Any) -> Any:
    """As the worker reads an input."""
    converter = pydantic_data_converter.payload_converter
    return converter.from_payloads(converter.to_payloads([given]), [Request])[0]


def test_an_input_that_fits_is_read_as_it_was_given() -> None:
    given = BatchRequest.model_validate(FITS)
    assert json.loads(read(given).model_dump_json()) == json.loads(given.model_dump_json())
    assert read(FITS) == read(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lst": "emails.csv"}, "there is no field `lst` (did you mean `list`?)"),
        ({"options": {"conections": 5}}, "no field `options.conections` (did you mean `connections`?)"),
        ({"options": {"zzz": 5}}, "no field `options.zzz` (there are connections, in_doubt, "),
        ({"snapshot": "abc"}, "give either `snapshot` (an id in the store) or `list` (a location), not both"),
        ({"list": None}, "give either `snapshot` (an id in the store) or `list` (a location), not both"),
        ({"message": "abc"}, "give either `message` (an id in the store) or `message_location`, not both"),
        ({"list": 5}, "`list`: input should be a valid string"),
        ({"options": {"connections": 0}}, "`options.connections`: input should be greater than or equal"),
        ({"options": {"admins": "me@example.com"}}, "`options.admins`: input should be an array"),
        (
            {"options": {"in_doubt": "me@example.com"}},
            "`options.in_doubt`: input should be 'resend' or 'hold'",
        ),
        ({"list": 5, "message_location": 5}, "valid string; `message_location`: input should be"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], told: str) -> None:
    said = refusal(FITS | given)
    assert told in said
    assert "me@example.com" not in said


@pytest.mark.parametrize("given", ["emails.csv", 5, [], [FITS]])
def test_what_is_no_object_is_told_so(given: object) -> None:
    assert "it must be an object with the fields snapshot, list, " in refusal(given)


def refusal(given: object) -> str:
    """The sentence by which the input is refused."""
    with pytest.raises(ApplicationError) as caught:
        read(given)
    assert caught.value.non_retryable
    assert caught.value.type == "InputError"
    said = caught.value.message
    assert said.startswith("The batch's input cannot be used: ")
    assert said.endswith(".")
    assert "\n" not in said
    return said

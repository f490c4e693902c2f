"""What Temporal is told of errors: ours by their sentence, all others without what they met."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import BaseModel
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from batchmail.engine.encryption import data_converter
from batchmail.errors import StoreError

ADDRESS = "@".join(("ann", "example.com"))
"""Put together, so that it is not in the code that a traceback shows."""


class Person(BaseModel):
    age: int


def invalid() -> None:
    Person.model_validate({"age": ADDRESS})


def unforeseen() -> None:
    raise KeyError(ADDRESS)


def with_a_cause() -> None:
    try:
        unforeseen()
    except KeyError as error:
        raise StoreError("The store cannot be read.") from error


def while_another_was_handled() -> None:
    try:
        unforeseen()
    except KeyError:
        raise ApplicationError("Try again.")  # noqa: B904 - this is what is tested


async def told(does: Callable[[], None]) -> Failure:
    """The failure that enters Temporal."""
    failure = Failure()
    try:
        does()
    except Exception as error:
        await data_converter({}).encode_failure(error, failure)
    return failure


@pytest.mark.parametrize("does", [invalid, unforeseen, with_a_cause, while_another_was_handled])
async def test_what_an_error_met_is_told_nowhere(does: Callable[[], None]) -> None:
    assert ADDRESS.encode() not in (await told(does)).SerializeToString()


async def test_an_unforeseen_error_is_told_by_type_place_and_traceback() -> None:
    failure = await told(unforeseen)
    assert failure.message.startswith("KeyError at unforeseen:")
    assert failure.application_failure_info.type == "KeyError"
    assert "in unforeseen" in failure.stack_trace


async def test_our_own_errors_keep_their_sentence_and_their_cause() -> None:
    failure = await told(with_a_cause)
    assert failure.message == "The store cannot be read."
    assert failure.application_failure_info.type == "StoreError"
    assert failure.cause.message.startswith("KeyError at unforeseen:")


async def test_what_comes_before_an_unforeseen_error_is_told_as_discreetly() -> None:
    def twice() -> None:
        try:
            unforeseen()
        except KeyError as error:
            raise ValueError(ADDRESS) from error

    failure = await told(twice)
    assert failure.message.startswith("ValueError at twice:")
    assert failure.cause.message.startswith("KeyError at unforeseen:")
    assert ADDRESS.encode() not in failure.SerializeToString()

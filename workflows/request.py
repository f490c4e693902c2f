"""The workflow's input as anybody may give it: what does not fit fails the batch, and says why.

A worker that cannot read an input would try again for ever, and whoever waits for the batch would learn
nothing. A refusal as ApplicationError ends the workflow instead.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Self

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails
from temporalio.exceptions import ApplicationError

from batchmail.batch.options import BatchOptions, BatchRequest


class Request(BatchRequest):
    """A BatchRequest that is refused by an ApplicationError of type InputError."""

    @model_validator(mode="wrap")
    @classmethod
    def _refused_for_good(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise refused(why_not(error)) from None


def refused(why: str) -> ApplicationError:
    """What ends a batch that was started with an input that cannot be used."""
    said = f"The batch's input cannot be used: {why}."
    return ApplicationError(said, type="InputError", non_retryable=True)


def why_not(error: ValidationError) -> str:
    """What does not fit, field by field; no value is shown, since it may be anybody's address."""
    return "; ".join(_why_not(detail) for detail in error.errors(include_url=False, include_input=False))


def _why_not(detail: ErrorDetails) -> str:
    field = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"there is no field `{field}` ({_instead(detail['loc'])})"
    said = {
        "model_type": f"it must be an object with the fields {_known()}",
        "tuple_type": "input should be an array",
    }.get(detail["type"], detail["msg"].removeprefix("Value error, ").rstrip("."))
    said = said[:1].lower() + said[1:]
    return f"`{field}`: {said}" if field else said


def _instead(location: tuple[int | str, ...]) -> str:
    known = BatchOptions.model_fields if location[0] == "options" else BatchRequest.model_fields
    near = get_close_matches(str(location[-1]), known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"


def _known() -> str:
    return ", ".join(BatchRequest.model_fields)

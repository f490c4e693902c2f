"""What Temporal is told of an error: the text of our own errors, of every other one its type and place.

Histories outlive batches, and the text of an error nobody foresaw (a KeyError, a validation error) quotes the
very value that it met: an address, a field. The traceback that goes with it shows code, and no values.
"""

from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, TemporalError

from batchmail.engine.log_lines import type_and_place
from batchmail.errors import BatchmailError


class DiscreetFailures(DefaultFailureConverter):
    """Failures without the texts of strangers."""

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """Also called for causes, each by itself."""
        if not isinstance(exception, (BatchmailError, TemporalError)):
            told = ApplicationError(type_and_place(exception), type=type(exception).__name__)
            told.__cause__, told.__context__ = exception.__cause__, exception.__context__
            told.__suppress_context__ = exception.__suppress_context__
            exception = told.with_traceback(exception.__traceback__)
        super().to_failure(exception, payload_converter, failure)


class SealedFailures(DiscreetFailures):
    """The same, with text and traceback where a codec encrypts them."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)

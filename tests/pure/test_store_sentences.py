"""What an object store's error is told as: one clause with the remedy, and nothing of the exchange."""

from __future__ import annotations

import pytest

from batchmail.errors import StoreError
from batchmail.locations import BucketUrl
from batchmail.store import Store
from batchmail.store.cloud_errors import is_without_bucket, meaning

_PUT = "Generic S3 error: Error performing PUT https://s3/mails/a in 1ms - "
_REFUSED = (
    _PUT + "Server returned non-2xx status code: 403 Forbidden: <Error><Code>{}</Code><Message>m</Message>"
)
_AWS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        (_REFUSED.format("InvalidAccessKeyId"), f"it refuses the credentials (InvalidAccessKeyId): {_AWS}"),
        (
            _PUT + "Server returned non-2xx status code: 401 Unauthorized",
            f"it refuses the credentials: {_AWS}",
        ),
        (
            _PUT + "status code: 404 Not Found: <Error><Code>NoSuchBucket</Code><Message>m</Message>",
            "there is no such bucket: create it, or mend BATCH_STORE",
        ),
        (
            _PUT + "status code: 503 Service Unavailable: <Code>SlowDown</Code><Message>Reduce it.</Message>",
            "SlowDown (Reduce it)",
        ),
        (
            _PUT + "Server returned non-2xx status code: 507 Insufficient Storage: <html>",
            "507 Insufficient Storage",
        ),
        (
            _PUT
            + 'HTTP error: error sending request\n\nDebug source:\n  "tcp connect error", Connection refused',
            "it cannot be reached (nobody listens there): check AWS_ENDPOINT_URL, and that it runs",
        ),
        (
            _PUT
            + "HTTP error: error sending request\n\nDebug source:\n  invalid peer certificate: UnknownIssuer",
            "it cannot be reached (its certificate is not trusted): check AWS_ENDPOINT_URL, and that it runs",
        ),
        (_PUT + "HTTP error: something new\n\nDebug source: much", "HTTP error: something new"),
        ("", "Exception"),
    ],
)
def test_an_error_is_told_in_one_clause(text: str, clause: str) -> None:
    assert meaning(Exception(text), "s3") == clause


@pytest.mark.parametrize("code", ["NoSuchBucket", "ContainerNotFound"])
def test_a_missing_bucket_is_not_taken_for_a_missing_object(code: str) -> None:
    assert is_without_bucket(FileNotFoundError(f"<Code>{code}</Code>"))
    assert not is_without_bucket(FileNotFoundError("<Code>NoSuchKey</Code>"))


def test_a_container_without_an_account_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(
        StoreError, match="az://box/x cannot be used: there are no credentials for it: set AZURE_"
    ):
        Store(BucketUrl("az", "box", "x"))

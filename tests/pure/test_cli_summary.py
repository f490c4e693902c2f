"""What the starter says of a finished batch."""

from __future__ import annotations

import pytest

from batchmail.batch.options import BatchOptions
from batchmail.batch.result import BatchResult, Status
from batchmail.cli.screen import Screen
from batchmail.cli.summary import show_summary


@pytest.mark.parametrize(
    ("admins", "notified", "says"),
    [
        (("a@example.org",), True, "told      a@example.org"),
        (("a@example.org", "b@example.org"), True, "at least one of a@example.org, b@example.org"),
        (("a@example.org",), False, "nobody: the mail to the admins could not be sent"),
    ],
)
def test_who_was_told_is_not_overstated(
    admins: tuple[str, ...], notified: bool, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several admins the result knows that one has the mail, not which."""
    result = BatchResult(batch_id="b", status=Status.COMPLETED, total=1, sent=1, admin_notified=notified)
    show_summary(result, BatchOptions(admins=admins), Screen())
    assert says in capsys.readouterr().out

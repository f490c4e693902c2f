"""What Temporal's Web UI shows of a batch beside its history: current details and search attributes.

Details cost nothing. Search attributes are an event of the history each time, and an action in Temporal
Cloud: done at once when the batch's state changes, else at most once in EVERY and once a hundredth of the
list, so about a hundred times a batch, however long it takes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from batchmail.batch.details import as_markdown
from batchmail.batch.progress import Progress
from batchmail.batch.search_attributes import SearchAttribute, values

EVERY = timedelta(seconds=10)


class Shown:
    """Shows one batch's progress. `names`: the search attributes that the server takes."""

    def __init__(self) -> None:
        self.names: tuple[SearchAttribute, ...] = ()
        self._last: dict[SearchAttribute, str | int] = {}
        self._when: datetime | None = None

    def show(self, progress: Progress) -> None:
        """Show it."""
        workflow.set_current_details(as_markdown(progress))
        now = values(progress)
        changed = {name: now[name] for name in self.names if now[name] != self._last.get(name)}
        if changed and self._worth_an_event(now):
            self._last, self._when = now, workflow.now()
            workflow.upsert_search_attributes([_update(name, value) for name, value in changed.items()])

    def _worth_an_event(self, now: dict[SearchAttribute, str | int]) -> bool:
        if self._when is None or now[SearchAttribute.STATUS] != self._last[SearchAttribute.STATUS]:
            return True
        more = int(now[SearchAttribute.SETTLED]) - int(self._last[SearchAttribute.SETTLED])
        enough = more * 100 >= int(now[SearchAttribute.TOTAL])
        return enough and workflow.now() - self._when >= EVERY


def _update(
    name: SearchAttribute, value: str | int
) -> SearchAttributeUpdate[int] | SearchAttributeUpdate[str]:
    if isinstance(value, int):
        return SearchAttributeKey.for_int(name).value_set(value)
    return SearchAttributeKey.for_keyword(name).value_set(value)

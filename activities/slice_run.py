"""One attempt of a slice, carried out: the attempt decides, the commit loop and the lanes do it.

1. The first heartbeat tells the ledger as found, with this attempt's nonce; it names nobody.
2. The attempt's marker goes into the store; then the slice's markers and outcome files are listed.
3. The batch is asked whether the slice is wanted; then recipients are mailed, until nobody is left or it is
   told to hand back.
4. When all of the ledger is acknowledged: outcome file, markers listed once more, result.

An unclear answer of the server ends the attempt by a failure that carries its ledger; a lease run out ends it
in silence. Whatever is out of reach (store, relay) is waited for, heartbeating.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import events
from activities.clock import lease_now
from activities.commit import Commit
from activities.dialogue import Dialogue
from activities.lanes import Lanes
from activities.mails import Mails
from activities.patience import Patience
from activities.surroundings import Surroundings
from activities.tally import Tally
from batchmail.batch.attempt import Attempt, Intent, Phase
from batchmail.batch.ids import new_nonce
from batchmail.batch.ledger import PENDING, PENDING_MARKED, Ledger, LedgerRecord
from batchmail.batch.outcomes import Outcome
from batchmail.batch.progress import Control, Waiting
from batchmail.batch.slices import range_name
from batchmail.batch.tasks import Part, PartResult
from batchmail.engine.json_lines import slice_at_work
from batchmail.errors import StoreError
from batchmail.report.endings import load_outcomes

log = logging.getLogger(__name__)

LONGEST_ATTEMPT = 600.0
"""Seconds after which a slice that mails hands back, so that no ledger and no attempt grows old."""

GRACE_FOR_THE_RELAY = 0.75
"""The part of a worker's grace in which relay and store may still answer."""


class SupersededError(Exception):
    """This attempt is no longer wanted, or cannot know that it is: it says nothing more."""


class SliceRun:
    """One attempt of a part.

    `folder`: the store's folder for its markers, outcome files and words. `load`: brings its mails. `key`:
    under what name the batch knows the slice; its row range unless given.
    """

    def __init__(
        self,
        here: Surroundings,
        part: Part,
        folder: str,
        load: Callable[[], Awaitable[Mails]],
        key: str | None = None,
    ) -> None:
        self._here = here
        self._part = part
        self._folder = folder
        self._range = range_name(part.first, part.last)
        self._key = key or self._range
        self._load = load
        self._info = activity.info()
        slice_at_work.set(self._range)
        self._patience = Patience(self._go_on)
        self._opens = part.opens_connections
        self._answered = False
        self._waited = False
        lease = self._info.heartbeat_timeout or timedelta(seconds=10)
        self.attempt = Attempt(
            self._found(),
            new_nonce(),
            in_doubt=part.in_doubt,
            lease=lease.total_seconds(),
            last_try=part.last_try,
        )
        self.commit = Commit(
            here.client,
            self._info.task_token,
            self.attempt,
            allowed=self._allowed,
            withdrawn=self._withdrawn,
            waiting=lambda: waiting.what if (waiting := self.waiting) else "",
            answered=here.metrics.heartbeat,
            interval=here.settings.batch_heartbeat_interval.total_seconds(),
        )
        self._lanes = Lanes(
            self.attempt,
            relay=here.relay,
            pool=here.pool,
            batch=part.batch,
            most=part.connections,
            opens=part.opens_connections,
            changed=self.commit.changed,
        )
        self._tally = Tally(
            here.metrics, self.attempt.ledger, self._lanes, self._patience, mails_recipients=key is None
        )

    @property
    def waiting(self) -> Waiting | None:
        """What the slice waits for, if it does."""
        return self._patience.waiting or self._lanes.waiting

    def stop(self, why: str) -> None:
        """Hand back: nobody new is named, what is in flight is settled."""
        self._waited = self._waited or self.waiting is not None
        self._withdrawn(self.attempt.stop(why))

    async def run(self) -> PartResult:
        """Do all of it. Raises SupersededError, or ApplicationError carrying nothing but a reason."""
        dialogue = Dialogue(self._here.client, self._key, self._heed, waited=self._part.waited)
        async with asyncio.TaskGroup() as tasks:
            counting = tasks.create_task(self._tally.keep())
            beating = tasks.create_task(self.commit.keep_up())
            companions = [
                tasks.create_task(dialogue.ask()),
                tasks.create_task(dialogue.tell(lambda: self.waiting, lambda: self.attempt.has_answers)),
                tasks.create_task(self._heed_shutdown()),
            ]
            try:
                result = await self._live(tasks, companions)
                self.commit.end()
                await beating
                if self.attempt.phase is not Phase.STOPPING or not self.attempt.has_lease(lease_now()):
                    raise self._over()
                return result
            finally:
                self.commit.end()
                for companion in companions:
                    companion.cancel()
                self._lanes.leave()
                counting.cancel()

    async def _live(self, tasks: asyncio.TaskGroup, companions: list[asyncio.Task[None]]) -> PartResult:
        attempt, commit = self.attempt, self.commit
        loading = tasks.create_task(self._patience.until_done(self._load))
        companions.append(tasks.create_task(self._lanes.keep_open()))
        await commit.until(lambda: attempt.phase is not Phase.OPENING)
        self._go_on()
        await self._open()
        # A stop may have met this slice between two attempts: nobody is named before the batch has answered.
        await commit.until(lambda: self._answered or attempt.phase is not Phase.MAILING)
        self._go_on()
        if attempt.has_pending:
            self._lanes.begin(await loading)
            companions.append(tasks.create_task(self._hand_back_in_time()))
        else:
            loading.cancel()
        await commit.until(lambda: attempt.is_drained)
        self.stop("nobody is left")
        self._go_on()
        attempt.settle_the_rest()
        commit.changed()
        await commit.until(lambda: attempt.is_acknowledged or attempt.phase is Phase.FAILING)
        self._go_on()
        return await self._file()

    # The store

    async def _open(self) -> None:
        """The marker, then the list of all markers; files only where there is a stranger's marker."""
        store, opened = self._here.store, f"{self._folder}/opened/{self._range}"
        await self._patience.until_done(lambda: store.create(f"{opened}/{self.attempt.nonce}", b""))
        if events.armed:
            events.happened("marked")
        nonces = await self._patience.until_done(lambda: store.names(opened))
        files: list[LedgerRecord] = []
        if self.attempt.strangers(nonces):
            log.warning(
                "slice %s of %s was begun by an attempt unknown to its ledger", self._range, self._part.batch
            )
            folder = f"{self._folder}/outcomes/{self._range}"
            for name in await self._patience.until_done(lambda: store.names(folder)):
                files.append(
                    await self._patience.until_done(partial(load_outcomes, store, f"{folder}/{name}"))
                )
        self.attempt.listed(nonces, files)
        if files:
            self._tally.begin()
        self.commit.changed()

    async def _file(self) -> PartResult:
        """The outcome file, the markers once more, and what the workflow is told."""
        store, ledger = self._here.store, self.attempt.ledger
        final = ledger.outcomes()
        counts = {o: n for o, n in ledger.counts().items() if o is not Outcome.DEFERRED}
        name = None
        if counts:
            content = final.model_dump_json().encode()
            file = f"{self._range}/{hashlib.sha256(content).hexdigest()[:32]}"
            name = f"{self._folder}/outcomes/{file}"
            await self._patience.until_done(lambda: store.put(name, content))
            await self._keep_words()
        names = await self._patience.until_done(lambda: store.names(f"{self._folder}/opened/{self._range}"))
        if self.attempt.strangers(names):
            self.attempt.die()
            raise self._over()
        rest = ledger.rest()
        left = ledger.counts().get(Outcome.DEFERRED, 0)
        return PartResult(
            file=name,
            counts=counts,
            resent=ledger.resent,
            pending=ledger.count(PENDING, PENDING_MARKED),
            deferred=left,
            rest=rest.record() if rest else None,
            ended_because=self.attempt.why_stopping,
            waits=self._waited,
        )

    async def _keep_words(self) -> None:
        """The relay's own words, best effort: no part of the guarantee."""
        words = self._lanes.words
        if words:
            lines = [
                json.dumps([self._part.first + row, said.decode("utf-8", "replace")])
                for row, said in words.items()
            ]
            with suppress(StoreError):
                await self._here.store.put(
                    f"{self._folder}/words/{self._range}/{self.attempt.nonce}", "\n".join(lines).encode()
                )

    # What it is told

    def _heed(self, control: Control) -> None:
        self._opens = control.opens_connections
        self._answered = True
        self._lanes.grant(control.opens_connections and not (control.cancelled or control.paused))
        if control.cancelled:
            self._withdrawn(self.attempt.cancel())
        elif control.paused:
            self.stop("the batch is paused")
        self.attempt.heed(control.brake)
        self.commit.changed()

    async def _hand_back_in_time(self) -> None:
        """After ten minutes of mailing; one that waits has nothing to hand back, and would only wait on."""
        await asyncio.sleep(LONGEST_ATTEMPT)
        while self.waiting or not self._opens:  # noqa: ASYNC110 - a look a second, after ten minutes
            await asyncio.sleep(1.0)
        self.stop("it has run for ten minutes")

    async def _heed_shutdown(self) -> None:
        """The worker stops: hand back; what relay or store has not answered within the grace is given up."""
        await activity.wait_for_worker_shutdown()
        self.stop("its worker is stopping")
        await asyncio.sleep(self._here.settings.batch_grace.total_seconds() * GRACE_FOR_THE_RELAY)
        self._lanes.close_all()
        if self._patience.waiting:
            self.attempt.give_up()
            self._patience.end()

    # How it is done

    def _found(self) -> Ledger:
        """The ledger: what the last attempt committed, else what was handed back, else all rows pending.

        A ledger that cannot be read fails the attempt: starting afresh would mail people again.
        """
        part = self._part
        if self._info.heartbeat_details:
            try:
                return Ledger.read(LedgerRecord.model_validate(self._info.heartbeat_details[0]))
            except ValueError:
                raise ApplicationError(
                    "The slice's ledger was written by another version of this worker."
                ) from None
        ledger = Ledger.read(part.ledger) if part.ledger else Ledger.of_rows(part.first, part.last)
        if part.due:
            ledger.retry()
        return ledger

    def _allowed(self, intents: list[Intent]) -> None:
        self._lanes.allowed(intents)
        if self.attempt.phase is not Phase.MAILING:
            self._lanes.close_withdrawn()
        self._close_if_dead()

    def _withdrawn(self, intents: list[Intent]) -> None:
        self._lanes.close(intents)
        self.commit.changed()

    def _close_if_dead(self) -> None:
        if self.attempt.phase is Phase.DEAD:
            self._lanes.close_all()

    def _go_on(self) -> None:
        """Nothing, where the attempt may go on; else what ends it."""
        if self.attempt.phase in (Phase.DEAD, Phase.FAILING):
            raise self._over()

    def _over(self) -> Exception:
        self._close_if_dead()
        if self.attempt.phase is Phase.FAILING and self.attempt.has_lease(lease_now()):
            return ApplicationError(
                "The server's answer was unclear; the next attempt goes on from this ledger."
            )
        self.attempt.die()
        self._close_if_dead()
        return SupersededError()

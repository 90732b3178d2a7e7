"""The pruner's loop: in small batches it deletes finished jobs past their retention, folds what
scripts have counted into statistics, and sets back what a clock that was ahead has left. It goes by
the store's clock."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.manifest.parts import Retention
from jobrunner.model import JobState
from jobrunner.store.attempts import DONE_STATES
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.decoding import read_time
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.removal import prune_results, prune_state
from jobrunner.store.requests import Operation
from jobrunner.store.rewinding import rewind
from jobrunner.store.stats import fold

TICK = timedelta(seconds=30)  # retention is counted in days; results' life in seconds
SUSPICIOUS = timedelta(days=1)  # a clock is rarely set by more; a machine sleeps for longer
DOUBTS_FOR_S = 3600.0  # time to notice a wrong clock; what is too old may wait as long
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REST = 1.0  # of the time that a batch took: leaves half of the server's time to others
SHORTEST_REST_S = 0.002
DAMAGED_FIX = "`jobrunner doctor` names the keys that something else has written"


class Pruner:
    """Retention of one namespace. Several daemons may prune at once."""

    def __init__(self, keys: Keys, connection: AsyncStoreConnection, clock: Clock) -> None:
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._retention = Retention()
        self._heard: tuple[datetime, float] | None = None  # the store's clock, and when (monotonic)
        self._doubts_until = 0.0  # monotonic

    def take_up(self, retention: Retention) -> None:
        """Keep finished jobs as this says, from now on."""
        self._retention = retention

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until stopped. By the monotonic clock: the other one may be set back by years."""
        due_at = self._clock.monotonic() + TICK.total_seconds()
        while not stopping.is_set():
            if self._clock.monotonic() >= due_at:
                try:
                    await self.tick()
                except StoreUnavailable as error:
                    EventLog().warning("could not prune", error=error)
                due_at = self._clock.monotonic() + TICK.total_seconds()
            left = timedelta(seconds=due_at - self._clock.monotonic())
            await self._clock.sleep_until(self._clock.now() + left, stopping)

    async def tick(self) -> None:
        """Delete all that is past its retention; fold all that was counted."""
        now = await self._connection.run(read_time())
        await self._go_on_after("", self._rewind())
        is_doubtful = self._doubts(now)
        for state in DONE_STATES:
            await self._go_on_after(self._keys.done(state), self._prune(state, now, is_doubtful))
        if not is_doubtful:
            pruning = self._take_all(lambda: prune_results(self._keys, now))
            await self._go_on_after(self._keys.results(), pruning)
        keep_for = max(self._retention.completed, self._retention.failed)
        folding = self._take_all(lambda: fold(self._keys, keep_for))
        await self._go_on_after(self._keys.tally(), folding)

    def _doubts(self, now: datetime) -> bool:
        """Whether the store's clock has just gone so far ahead that it may be wrong.

        What is pruned by a wrong clock is gone for good; so nothing is for its age, for a while.
        """
        monotonic = self._clock.monotonic()
        if self._heard is not None:
            before, heard_at = self._heard
            was_set = now - before - timedelta(seconds=monotonic - heard_at)
            if was_set > SUSPICIOUS:
                self._doubts_until = monotonic + DOUBTS_FOR_S
                EventLog().warning(
                    "found the store's clock set forward; prunes nothing for its age for an hour",
                    seconds=round(was_set.total_seconds(), 1),
                )
        self._heard = (now, monotonic)
        return monotonic < self._doubts_until

    async def _rewind(self) -> None:
        while moved := await self._take_batch(rewind(self._keys)):
            EventLog().warning("set back what a clock that was ahead has left", members=moved)

    async def _go_on_after(self, key: str, step: Awaitable[None]) -> None:
        """Take a step; one that the store refuses holds up neither the others nor the daemon."""
        try:
            await step
        except ReplyError as error:
            EventLog().warning("could not prune", key=key, error=error, fix=DAMAGED_FIX)

    async def _prune(self, state: JobState, now: datetime, is_doubtful: bool) -> None:
        is_completed = state is JobState.COMPLETED
        keep_for = self._retention.completed if is_completed else self._retention.failed
        if is_doubtful:
            keep_for = now - EPOCH
        pruned = 0
        while True:
            batch = prune_state(
                self._keys,
                state,
                now=now,
                keep_for=keep_for,
                keep_count=self._retention.jobs,
            )
            count = await self._take_batch(batch)
            pruned += count
            if not count:
                break
        if pruned:
            EventLog().info("pruned jobs", state=state, jobs=pruned)

    async def _take_all(self, next_batch: Callable[[], Operation[int]]) -> None:
        while await self._take_batch(next_batch()):
            pass

    async def _take_batch(self, batch: Operation[int]) -> int:
        """Do a batch, and rest by how long it took: on a busy server for longer.

        A fixed rest would be outrun by workers that finish jobs faster than that.
        """
        begun_at = self._clock.monotonic()
        count = await self._connection.run(batch)
        if count:
            took_s = self._clock.monotonic() - begun_at
            await asyncio.sleep(max(REST * took_s, SHORTEST_REST_S))
        return count

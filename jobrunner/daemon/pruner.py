"""The pruner's loop: in small batches it deletes finished jobs past their retention, and folds what
scripts have counted into statistics."""

import asyncio
from datetime import datetime, timedelta

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.manifest.parts import Retention
from jobrunner.model import JobState
from jobrunner.store.attempts import DONE_STATES
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.removal import prune_results, prune_state
from jobrunner.store.stats import fold

TICK = timedelta(seconds=30)  # retention is counted in days; results' life in seconds
BETWEEN_BATCHES_S = 0.02  # leaves most of the server's time to others


class Pruner:
    """Retention of one namespace. Several daemons may prune at once."""

    def __init__(self, keys: Keys, connection: AsyncStoreConnection, clock: Clock) -> None:
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._retention = Retention()

    def take_up(self, retention: Retention) -> None:
        """Keep finished jobs as this says, from now on."""
        self._retention = retention

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until stopped."""
        wake_at = self._clock.now() + TICK
        while not stopping.is_set():
            if self._clock.now() >= wake_at:
                try:
                    wake_at = await self.tick(self._clock.now())
                except StoreUnavailable as error:
                    wake_at = self._clock.now() + TICK
                    EventLog().warning("could not prune", error=error)
            await self._clock.sleep_until(wake_at, stopping)

    async def tick(self, now: datetime) -> datetime:
        """Delete all that is past its retention; fold all that was counted."""
        for state in DONE_STATES:
            await self._prune(state, now)
        while await self._connection.run(prune_results(self._keys, now)):
            await asyncio.sleep(BETWEEN_BATCHES_S)
        keep_for = max(self._retention.completed, self._retention.failed)
        while await self._connection.run(fold(self._keys, keep_for)):
            await asyncio.sleep(BETWEEN_BATCHES_S)
        return now + TICK

    async def _prune(self, state: JobState, now: datetime) -> None:
        is_completed = state is JobState.COMPLETED
        keep_for = self._retention.completed if is_completed else self._retention.failed
        pruned = 0
        while True:
            count = await self._connection.run(
                prune_state(
                    self._keys,
                    state,
                    now=now,
                    keep_for=keep_for,
                    keep_count=self._retention.jobs,
                )
            )
            pruned += count
            if not count:
                break
            await asyncio.sleep(BETWEEN_BATCHES_S)
        if pruned:
            EventLog().info("pruned jobs", state=state, jobs=pruned)

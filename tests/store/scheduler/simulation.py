"""Schedulers that live, stall and are killed at random over virtual time, on the real store.

Each is one coroutine, driven by hand: it hands out the request it wants performed, or the instant
until which it sleeps, and goes on when it is told to. So the order of all round trips follows from
the seed, a scheduler can be dropped between any two of them, and time passes only when all sleep.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from jobrunner.firing import ScheduledCron
from jobrunner.model import JobState
from jobrunner.store.attempts import Entry
from jobrunner.store.cancelling import cancel_unclaimed
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.requests import Request
from tests.clock import FakeClock
from tests.store.factories import Store
from tests.store.scheduler.scheduling import Daemon, SkewedClock

# Chances per round trip:
KILLED = 1 / 60  # before or just after it
STALLED = 1 / 100
WORKED = 1 / 4  # a worker claims and ends some jobs
# Chances each time that all sleep:
BORN = 1 / 3
TIDIED = 1 / 20  # a rescuer's tick
LONGEST_STALL_S = 600
LONGEST_DOWNTIME_S = 3600
MOST_LATE_MS = 900  # at which a sleep ends
MOST_SKEW_S = 400 * 86_400  # of a daemon's own clock: only the store's matters
NO_SKEW = timedelta(0)
MOST_ROUNDS = 10_000  # in the end, to work off what is left


@dataclass(frozen=True)
class _Wish:
    """Awaited, it asks who drives the coroutine for a round trip, or for sleep until an instant."""

    wish: Request | datetime

    def __await__(self) -> Generator[Request | datetime, Any, Any]:
        return (yield self.wish)


class SteppedConnection(AsyncStoreConnection):
    """A connection whose round trips are made by who drives the coroutine."""

    async def execute(self, request: Request) -> Any:
        return await _Wish(request)


class Actor:
    """A scheduler that has begun, between two steps."""

    def __init__(
        self, store: Store, crons: Sequence[ScheduledCron], clock: FakeClock, skew: timedelta
    ) -> None:
        self._connection = store.connection
        connection = SteppedConnection(store.connection.address)
        self._daemon = Daemon(store.keys, connection, SkewedClock(clock, skew))
        self._life = self._live(crons)
        self._wish: Request | datetime = self._life.send(None)
        self.stalled_until = clock.now()

    async def _live(self, crons: Sequence[ScheduledCron]) -> None:
        await self._daemon.take_up(*crons)
        while True:
            await _Wish(await self._daemon.tick())

    @property
    def is_asleep(self) -> bool:
        return isinstance(self._wish, datetime)

    @property
    def goes_on_at(self) -> datetime:
        """When its sleep, or its stall, ends."""
        if isinstance(self._wish, datetime):
            return self._wish
        return self.stalled_until

    def step(self) -> None:
        """End its sleep, or make the round trip that it asks for."""
        self._wish = self._life.send(None if self.is_asleep else self._ask())

    def kill(self, *, is_answered: bool) -> None:
        """Drop it; `is_answered`: after its round trip was made, the reply of which is lost."""
        if is_answered:
            self._ask()
        self._life.close()

    def _ask(self) -> Any:
        assert not isinstance(self._wish, datetime)
        return self._connection.execute(self._wish)


@dataclass
class World:
    """Up to `most` schedulers, a worker and a rescuer. `run` is all there is to call."""

    store: Store
    crons: Sequence[ScheduledCron]
    most: int
    random: Random
    clock: FakeClock  # the store's
    kills: int = 0
    _actors: list[Actor] = field(default_factory=list)
    _held: list[Entry] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def _pass_until(self, instant: datetime) -> None:
        self.clock.advance(seconds=(instant - self.now).total_seconds())

    def run(self, end: datetime) -> None:
        """Live until `end`, then let one scheduler and the worker work off what is left."""
        self.store.add_worker()
        self._run_until_it_sleeps(self._bear(NO_SKEW))  # the crons begin at START
        while self.now < end:
            self._step(end)
        self._work_off()

    def _bear(self, skew: timedelta) -> Actor:
        self._actors.append(Actor(self.store, self.crons, self.clock, skew))
        return self._actors[-1]

    def _run_until_it_sleeps(self, actor: Actor) -> None:
        while not actor.is_asleep:
            actor.step()

    def _step(self, end: datetime) -> None:
        able = [a for a in self._actors if not a.is_asleep and a.stalled_until <= self.now]
        if not able:
            self._pass_time(end)
            return
        actor = self.random.choice(able)
        fate = self.random.random()
        if fate < KILLED:
            self._kill(actor)
        elif fate < KILLED + STALLED:
            actor.stalled_until = self.now + self._seconds(LONGEST_STALL_S)
        else:
            actor.step()
        if self.random.random() < WORKED:
            self._work(self.random.randrange(1, 4), self.random.randrange(4))

    def _kill(self, actor: Actor) -> None:
        actor.kill(is_answered=self.random.random() < 1 / 2)
        self._actors.remove(actor)
        self.kills += 1

    def _pass_time(self, end: datetime) -> None:
        if self.random.random() < TIDIED:
            self.store.run(cancel_unclaimed(self.store.keys))
        if not self._actors:
            self._pass_until(min(self.now + self._seconds(LONGEST_DOWNTIME_S), end))
        if not self._actors or (len(self._actors) < self.most and self.random.random() < BORN):
            self._bear(self._seconds(MOST_SKEW_S) - self._seconds(MOST_SKEW_S))
            return
        soonest = min(actor.goes_on_at for actor in self._actors)
        self._pass_until(min(max(self.now, soonest) + self._milliseconds(MOST_LATE_MS), end))
        for actor in self._actors:
            if actor.is_asleep and actor.goes_on_at <= self.now:
                actor.step()

    def _seconds(self, most: int) -> timedelta:
        return timedelta(seconds=self.random.randrange(most))

    def _milliseconds(self, most: int) -> timedelta:
        return timedelta(milliseconds=self.random.randrange(most))

    def _work(self, claims: int, ends: int) -> None:
        self._held += self.store.claim(free=claims)
        self._check_overlaps()
        self.random.shuffle(self._held)
        cancelling = set(self.store.texts("SMEMBERS", self.store.keys.cancelling()))
        for entry in self._held[:ends]:
            is_cancelled = entry.job_id in cancelling
            state = JobState.CANCELLED if is_cancelled else JobState.COMPLETED
            self.store.finish(entry, state, cron=entry.job_id.partition("@")[0])
        del self._held[:ends]

    def _check_overlaps(self) -> None:
        """Only `allow` lets two jobs of a cron run together."""
        running = [entry.job_id.partition("@")[0] for entry in self._held]
        for cron in self.crons:
            assert cron.spec.overlap == "allow" or running.count(cron.name) <= 1, cron.name

    def _work_off(self) -> None:
        for actor in self._actors:
            actor.kill(is_answered=False)
        survivor = self._bear(NO_SKEW)
        for _ in range(MOST_ROUNDS):
            self._run_until_it_sleeps(survivor)
            self.store.run(cancel_unclaimed(self.store.keys))
            self._work(claims=1000, ends=1000)
            if survivor.goes_on_at > self.now and not self._live_jobs():
                survivor.kill(is_answered=False)
                return
            survivor.step()
        raise AssertionError(f"these never end: {self._live_jobs()}")

    def _live_jobs(self) -> dict[str, int]:
        """How many there are, by state and task."""
        flat = self.store.command("HGETALL", self.store.keys.counts())
        return {name.decode(): int(n) for name, n in zip(flat[::2], flat[1::2], strict=True)}

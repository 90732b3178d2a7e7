"""Schedulers whose clock is moved by hand, their crons, and what came of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from jobrunner.daemon.plan import parse
from jobrunner.firing import ScheduledCron
from jobrunner.manifest.spec import CronSpec, Task
from jobrunner.model import Job, JobState
from jobrunner.scheduler import Scheduler
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.crons import CronRecord, read_crons
from jobrunner.store.keys import Keys
from tests.clock import START, FakeClock
from tests.store.clocked import AsyncClockedConnection
from tests.store.factories import Store


def a_task(**changes: Any) -> Task:
    return Task(**{"command": ["true"], **changes})


def a_cron(name: str = "tick", *, task: Task | None = None, **spec: Any) -> ScheduledCron:
    """Every five minutes, unless `spec` says otherwise."""
    if not {"cron", "every"} & spec.keys():
        spec["cron"] = "*/5 * * * *"
    parsed = CronSpec(task="demo", **spec)
    return ScheduledCron(name, parsed, parse(name, parsed), task or a_task())


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A time on the day on which the tests' clock begins."""
    return START.replace(hour=hour, minute=minute, second=second)


class SkewedClock(FakeClock):
    """The clock of a daemon's machine, beside that of the store."""

    def __init__(self, of_store: FakeClock, skew: timedelta) -> None:
        super().__init__()
        self._of_store, self._skew = of_store, skew

    def now(self) -> datetime:
        return self._of_store.now() + self._skew

    def monotonic(self) -> float:
        return self._of_store.monotonic()


class Daemon:
    """A scheduler with a connection of its own."""

    def __init__(self, keys: Keys, connection: AsyncStoreConnection, clock: FakeClock) -> None:
        self.clock = clock
        self.wake = asyncio.Event()
        self.scheduler = Scheduler(keys, connection, clock, self.wake)

    async def take_up(self, *crons: ScheduledCron) -> None:
        await self.scheduler.take_up(crons)

    async def tick(self) -> datetime:
        return await self.scheduler.tick()

    async def tick_at(self, instant: datetime) -> datetime:
        self.clock.set_to(instant)
        return await self.tick()

    async def serve_until(self, end: datetime) -> None:
        """As `run` does: tick, sleep until the next due instant."""
        while self.clock.now() <= end:
            self.clock.set_to(await self.tick())


@asynccontextmanager
async def a_daemon(
    address: StoreAddress, clock: FakeClock, *crons: ScheduledCron
) -> AsyncIterator[Daemon]:
    """By a store whose clock is `clock`, as is the daemon's own."""
    async with AsyncClockedConnection(address, clock.now) as connection:
        daemon = Daemon(Keys(address.name), connection, clock)
        await daemon.take_up(*crons)
        yield daemon


def fired(store: Store, cron: str = "tick", *states: JobState) -> list[datetime]:
    """The fire times of the cron's jobs, in order; of those in the states if given."""
    wanted = states or (JobState.QUEUED, JobState.SCHEDULED, JobState.BLOCKED)
    jobs = [store.job(job_id) for job_id in store.records() if job_id.startswith(f"{cron}@")]
    return sorted(job.fire_time for job in jobs if job.fire_time and job.state in wanted)


def skipped(store: Store, cron: str = "tick") -> list[Job]:
    found = [store.job(job_id) for job_id in store.records() if job_id.startswith(f"{cron}@")]
    return [job for job in found if job.state is JobState.SKIPPED]


def record(store: Store, cron: str = "tick") -> CronRecord:
    return store.run(read_crons(store.keys, [cron]))[0]


def queue(store: Store) -> list[str]:
    """Ids of the jobs in the queues, in the order of their coming."""
    entries = sorted(store.entries().items(), key=lambda item: _instant_of(item[0][1]))
    return [fields["id"] for _, fields in entries]


def _instant_of(entry_id: str) -> tuple[int, ...]:
    """`1526919030474-55` in numbers, which texts do not sort like."""
    return tuple(int(part) for part in entry_id.split("-"))

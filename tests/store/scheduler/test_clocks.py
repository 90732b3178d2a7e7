"""Clocks that differ or are set: who decides what is due, and what becomes of fire times then."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import pytest

from jobrunner.crons import fire_times
from jobrunner.firing import ScheduledCron
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.crons import LARGEST_SKEW
from jobrunner.store.keys import Keys
from tests.clock import START, FakeClock
from tests.store.clocked import AsyncClockedConnection
from tests.store.factories import Store
from tests.store.scheduler.scheduling import (
    Daemon,
    SkewedClock,
    a_cron,
    a_daemon,
    at,
    fired,
    queue,
    record,
)

pytestmark = pytest.mark.anyio

OFTEN = a_cron("often", every="2s", misfire="skip")
SIZES = (
    *(timedelta(seconds=number) for number in (1, 4, 7, 40, 90)),
    *(timedelta(hours=number) for number in (1, 5, 23, 30)),
    *(timedelta(days=number) for number in (7, 400, 4000)),
)
SKEWS = ([timedelta(0)], [timedelta(hours=1), timedelta(days=-400)])


@asynccontextmanager
async def skewed_daemons(
    address: StoreAddress, clock: FakeClock, skews: Sequence[timedelta], *crons: ScheduledCron
) -> AsyncIterator[list[Daemon]]:
    """Daemons of one store, whose clock is `clock`; their own are so far ahead of it."""
    async with AsyncExitStack() as stack:
        daemons = []
        for skew in skews:
            connection = AsyncClockedConnection(address, clock.now)
            await stack.enter_async_context(connection)
            daemons.append(Daemon(Keys(address.name), connection, SkewedClock(clock, skew)))
            await daemons[-1].take_up(*crons)
        yield daemons


async def serve(clock: FakeClock, daemons: Sequence[Daemon], seconds: int) -> None:
    """Let the daemons tick each second for so long."""
    for _ in range(seconds):
        clock.advance(seconds=1)
        for daemon in daemons:
            while await daemon.tick() <= clock.now():
                pass


def due(since: datetime, until: datetime) -> list[datetime]:
    return list(fire_times(OFTEN.cron, since, until))


def check(store: Store, since: datetime, until: datetime) -> None:
    """Each fire time of the span made a job, and no fire time at all made two."""
    made = queue(store)
    assert len(made) == len(set(made))
    assert set(due(since, until)) <= set(fired(store, "often"))


@pytest.mark.parametrize("skews", SKEWS)
@pytest.mark.parametrize("size", SIZES)
async def test_a_clock_that_goes_ahead_and_comes_back_silences_no_cron_and_doubles_no_fire(
    store: Store, address: StoreAddress, clock: FakeClock, size: timedelta, skews: list[timedelta]
) -> None:
    async with skewed_daemons(address, clock, skews, OFTEN) as daemons:
        await serve(clock, daemons, 20)
        clock.set_to(clock.now() + size)
        await serve(clock, daemons, 20)

        back_at = clock.set_to(clock.now() - size)
        await serve(clock, daemons, 30)

    check(store, back_at + LARGEST_SKEW, clock.now())


@pytest.mark.parametrize("skews", SKEWS)
@pytest.mark.parametrize("size", SIZES)
async def test_a_clock_that_goes_back_and_comes_ahead_again_silences_no_cron_and_doubles_no_fire(
    store: Store, address: StoreAddress, clock: FakeClock, size: timedelta, skews: list[timedelta]
) -> None:
    async with skewed_daemons(address, clock, skews, OFTEN) as daemons:
        await serve(clock, daemons, 20)
        back_at = clock.set_to(clock.now() - size)
        await serve(clock, daemons, 20)
        check(store, back_at + LARGEST_SKEW, clock.now())

        ahead_at = clock.set_to(clock.now() + size)
        await serve(clock, daemons, 20)

    check(store, ahead_at, clock.now())


@pytest.mark.parametrize("size", SIZES)
async def test_a_daemon_that_starts_with_a_clock_ahead_fires_once_that_is_corrected(
    store: Store, address: StoreAddress, clock: FakeClock, size: timedelta
) -> None:
    right = clock.now()
    clock.set_to(right + size)
    async with skewed_daemons(address, clock, [timedelta(0)], OFTEN) as daemons:
        await serve(clock, daemons, 5)
        clock.set_to(right + timedelta(seconds=5))
        await serve(clock, daemons, 20)

    check(store, right + LARGEST_SKEW + timedelta(seconds=5), clock.now())


async def test_a_clock_that_is_corrected_between_two_daemons_is_noticed_by_the_second(
    store: Store, address: StoreAddress, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.set_to(START + timedelta(days=365))
    async with skewed_daemons(address, clock, [timedelta(0)], OFTEN) as daemons:
        await serve(clock, daemons, 10)
    clock.set_to(START)

    async with skewed_daemons(address, clock, [timedelta(0)], OFTEN) as daemons:
        await serve(clock, daemons, 10)

    check(store, START, clock.now())
    told = [found for found in caplog.records if found.message.startswith("set back a cron")]
    assert [found.__dict__["fields"]["cron"] for found in told] == ["often"]


async def test_what_ran_before_its_time_up_to_a_day_is_waited_for_and_not_repeated(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with skewed_daemons(address, clock, [timedelta(0)], OFTEN) as daemons:
        await serve(clock, daemons, 120)
        clock.set_to(clock.now() - timedelta(seconds=60))
        await serve(clock, daemons, 100)

    assert fired(store, "often") == due(START, clock.now())
    assert len(queue(store)) == len(set(queue(store)))


async def test_fire_times_come_by_the_stores_clock_whatever_a_daemons_own_says(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    skews = [timedelta(hours=1), timedelta(days=-3), timedelta(days=800)]
    async with skewed_daemons(address, clock, skews, OFTEN) as daemons:
        for daemon in daemons:
            await serve(clock, [daemon], 10)

            assert fired(store, "often") == due(START, clock.now())
            handled = record(store, "often").handled
            assert handled is not None
            assert handled <= clock.now()


async def test_a_changed_schedule_begins_now_by_the_stores_clock(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with skewed_daemons(address, clock, [timedelta(hours=1)], OFTEN) as [daemon]:
        await daemon.take_up(a_cron("often", every="3s"))
        await serve(clock, [daemon], 10)

    assert fired(store, "often") == [at(0, 0, second) for second in (3, 6, 9)]


async def test_a_delayed_job_of_a_cron_wakes_the_scheduler_by_itself(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron(jitter="20s")) as daemon:
        wake_at = await daemon.tick_at(at(0, 5))

    [job_id] = store.records()
    assert store.state(job_id) is JobState.SCHEDULED
    assert wake_at == store.job(job_id).due_at

"""Long rows of missed fire times: all are made or recorded, and nothing else waits for them."""

import pytest

from jobrunner.clock import rfc3339
from jobrunner.model import Reason
from jobrunner.policy import FIRES_AT_ONCE
from jobrunner.store.address import StoreAddress
from tests.clock import FakeClock
from tests.store.factories import Store, minutes
from tests.store.scheduler.scheduling import Daemon, a_cron, a_daemon, at, fired, queue, skipped

pytestmark = pytest.mark.anyio

COUNT = 2 * FIRES_AT_ONCE
SECONDS = a_cron("seconds", every="1s", misfire="all", catch_up={"count": COUNT}, grace="0s")


async def test_weeks_of_missed_seconds_are_caught_up_over_several_ticks_and_one_record(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(SECONDS)
    noticed = daemon.clock.advance(days=30)

    while await daemon.tick() <= noticed:
        pass

    newest = [noticed - minutes(second / 60) for second in range(COUNT, -1, -1)]
    assert fired(store, "seconds") == newest
    assert queue(store) == [f"seconds@{rfc3339(fire_time)}" for fire_time in newest]
    [row] = skipped(store, "seconds")
    assert row.reason is Reason.MISFIRE
    first, last = rfc3339(at(0, 0, 1)), rfc3339(newest[0] - minutes(1 / 60))
    assert row.detail == f"{30 * 86_400 - len(newest)} fire times from {first} to {last}"


async def test_a_cron_that_catches_up_does_not_keep_another_from_firing(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(SECONDS, a_cron())
    daemon.clock.advance(minutes=5)

    wake_at = await daemon.tick()
    assert len(queue(store)) == FIRES_AT_ONCE
    assert wake_at <= daemon.clock.now()

    while await daemon.tick() <= daemon.clock.now():
        pass
    assert queue(store)[FIRES_AT_ONCE] == f"tick@{rfc3339(at(0, 5))}"
    assert len(fired(store, "seconds")) == 5 * 60


async def test_a_catch_up_that_is_cut_off_is_finished_by_the_next_scheduler(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, SECONDS) as killed:
        clock.advance(minutes=5)
        await killed.tick()

    async with a_daemon(address, clock, SECONDS) as heir:
        while await heir.tick() <= clock.now():
            pass

    assert len(fired(store, "seconds")) == 300
    assert skipped(store, "seconds") == []


async def test_a_stalled_scheduler_records_only_what_nobody_fired_meanwhile(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    cron = a_cron(misfire="once")
    async with a_daemon(address, clock, cron) as stalled, a_daemon(address, clock, cron) as other:
        await other.tick_at(at(0, 5))
        await other.tick_at(at(0, 10))

        await stalled.tick_at(at(0, 26))

    assert fired(store) == [at(0, 5), at(0, 10), at(0, 25)]
    assert [job.detail for job in skipped(store)] == [
        f"2 fire times from {rfc3339(at(0, 15))} to {rfc3339(at(0, 20))}"
    ]


async def test_a_row_that_was_skipped_is_recorded_though_the_previous_job_changed_meanwhile(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    cron = a_cron(overlap="skip", misfire="skip")
    async with a_daemon(address, clock, cron) as slow, a_daemon(address, clock, cron) as fast:
        await fast.tick_at(at(0, 5))

        await slow.tick_at(at(0, 14))

    assert [job.fire_time for job in skipped(store)] == [at(0, 10)]

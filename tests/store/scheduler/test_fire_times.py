"""Which fire times make jobs, whoever asks and whatever the clock does."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from jobrunner.clock import rfc3339
from jobrunner.crons import fire_times
from jobrunner.firing import ScheduledCron
from jobrunner.model import Reason
from jobrunner.store.address import StoreAddress
from tests.clock import START, FakeClock
from tests.store.factories import Store
from tests.store.scheduler.scheduling import (
    Daemon,
    a_cron,
    a_daemon,
    a_task,
    at,
    fired,
    queue,
    record,
    skipped,
)

pytestmark = pytest.mark.anyio


async def test_two_schedulers_that_race_over_a_day_make_each_fire_time_once(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    crons = [
        a_cron("tick"),
        a_cron("nightly", cron="30 2 * * *", timezone="Europe/Berlin"),
        a_cron("often", every="7m"),
    ]
    end = START + timedelta(days=1)
    random = Random(7)

    async def serve(daemon: Daemon) -> None:
        while clock.now() < end:
            wake_at = await daemon.tick()
            late = timedelta(milliseconds=random.randrange(900))
            clock.set_to(max(clock.now(), min(wake_at + late, end)))
        await daemon.tick()

    async with (
        a_daemon(address, clock, *crons) as first,
        a_daemon(address, clock, *crons) as second,
    ):
        await asyncio.gather(serve(first), serve(second))

    for item in crons:
        assert fired(store, item.name) == list(fire_times(item.cron, START, end))
    assert len(queue(store)) == len(set(queue(store)))


async def test_a_scheduler_that_takes_over_goes_on_after_the_last_handled_fire_time(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron(misfire="all")) as killed:
        await killed.tick_at(at(0, 5))
        clock.set_to(at(0, 10))

    clock.set_to(at(0, 22))
    async with a_daemon(address, clock, a_cron(misfire="all")) as heir:
        await heir.tick()

    assert fired(store) == [at(0, 5), at(0, 10), at(0, 15), at(0, 20)]


async def test_a_cron_that_was_never_seen_begins_now(store: Store, daemon: Daemon) -> None:
    daemon.clock.set_to(at(12, 3))
    await daemon.take_up(a_cron(misfire="all"))

    assert await daemon.tick() == at(12, 5)
    assert fired(store) == []


async def test_a_changed_schedule_begins_now(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron(misfire="all")) as daemon:
        await daemon.tick_at(at(0, 5))

    clock.set_to(at(3))
    async with a_daemon(address, clock, a_cron(cron="*/10 * * * *", misfire="all")) as heir:
        assert await heir.tick() == at(3, 10)
    assert fired(store) == [at(0, 5)]


@pytest.mark.parametrize("coming", [[a_cron(cron="*/10 * * * *")], [a_cron(enabled=False)], []])
async def test_what_came_due_just_before_a_reload_is_fired_by_the_schedule_that_goes(
    store: Store, daemon: Daemon, coming: list[ScheduledCron]
) -> None:
    await daemon.take_up(a_cron())
    daemon.clock.set_to(at(0, 5, 1))

    await daemon.take_up(*coming)

    assert fired(store) == [at(0, 5)]


async def test_a_cron_that_was_gone_and_comes_back_unchanged_goes_on_where_it_was(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(misfire="all"))
    await daemon.tick_at(at(0, 5))
    await daemon.take_up()
    daemon.clock.set_to(at(0, 16))

    await daemon.take_up(a_cron(misfire="all"))
    await daemon.tick()

    assert fired(store) == [at(0, 5), at(0, 10), at(0, 15)]


async def test_a_renamed_cron_is_a_new_one(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron("tick", misfire="all"))
    await daemon.tick_at(at(0, 5))
    daemon.clock.set_to(at(0, 7))

    await daemon.take_up(a_cron("tock", misfire="all"))
    await daemon.tick_at(at(0, 10))

    assert (fired(store, "tick"), fired(store, "tock")) == ([at(0, 5)], [at(0, 10)])


async def test_an_expression_that_is_only_written_otherwise_is_unchanged(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron(every="300s", misfire="all")) as daemon:
        await daemon.tick_at(at(0, 5))

    clock.set_to(at(0, 11))
    async with a_daemon(address, clock, a_cron(cron="@every  5m", misfire="all")) as heir:
        await heir.tick()

    assert fired(store) == [at(0, 5), at(0, 10)]


async def test_an_unchanged_schedule_keeps_its_last_handled_fire_time_when_all_else_changes(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron())
    await daemon.tick_at(at(0, 5))
    daemon.clock.set_to(at(0, 10, 3))

    await daemon.take_up(a_cron(overlap="queue", jitter="1s", task=a_task(queue="web")))
    await daemon.tick()

    assert fired(store) == [at(0, 5), at(0, 10)]


async def test_a_changed_time_zone_is_a_changed_schedule(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(cron="0 12 * * *"))
    daemon.clock.set_to(at(11))

    await daemon.take_up(a_cron(cron="0 12 * * *", timezone="Europe/Berlin"))  # 10:00 UTC

    assert record(store).next_fire_at == at(10) + timedelta(days=1)


async def test_a_cron_that_left_the_manifest_fires_no_more(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron("tick"), a_cron("other"))

    await daemon.take_up(a_cron("other"))
    await daemon.tick_at(at(0, 5))

    assert (fired(store, "tick"), fired(store, "other")) == ([], [at(0, 5)])


async def test_a_reload_during_a_tick_leaves_both_crons_and_loop_intact(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron("tick", overlap="replace"), a_cron("other", overlap="replace"))
    await daemon.tick_at(at(0, 5))
    daemon.clock.set_to(at(0, 10))

    # A replacement takes some round trips, in the middle of which the reload comes.
    await asyncio.gather(daemon.tick(), daemon.take_up(a_cron("other")))

    assert await daemon.tick_at(at(0, 15)) == at(0, 20)
    assert fired(store, "tick") == [at(0, 10)]
    assert fired(store, "other") == [at(0, 10), at(0, 15)]


# Clocks that jump.


async def test_a_clock_set_forward_makes_misfires_and_no_row_of_live_fires(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(misfire="skip"))
    await daemon.tick_at(at(0, 5))

    wake_at = await daemon.tick_at(at(1, 6))

    assert fired(store) == [at(0, 5)]
    (one,) = skipped(store)
    assert one.reason is Reason.MISFIRE
    assert one.detail == f"12 fire times from {rfc3339(at(0, 10))} to {rfc3339(at(1, 5))}"
    assert wake_at == at(1, 10)


async def test_a_clock_set_back_makes_no_fire_time_twice(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron())
    await daemon.serve_until(at(2))

    daemon.clock.set_to(at(1))
    await daemon.serve_until(at(2, 10))

    assert fired(store) == list(fire_times(a_cron().cron, START, at(2, 10)))
    assert skipped(store) == []


async def test_a_night_of_suspend_is_one_job_and_one_record(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(every="1s"))
    await daemon.tick_at(at(0, 0, 1))

    await daemon.tick_at(at(8, 0, 0))

    (one,) = skipped(store)
    assert one.detail == f"28788 fire times from {rfc3339(at(0, 0, 2))} to {rfc3339(at(7, 59, 49))}"
    assert fired(store) == [at(0, 0, 1), *(at(7, 59, s) for s in range(50, 60)), at(8)]


# Arguments.


async def test_a_job_has_the_arguments_of_its_cron_and_the_defaults_of_its_task(
    store: Store, daemon: Daemon
) -> None:
    task = a_task(params={"region": {}, "depth": {"type": "integer", "default": 3}})
    await daemon.take_up(a_cron(task=task, params={"region": "eu"}))

    await daemon.tick_at(at(0, 5))

    assert store.job(f"tick@{rfc3339(at(0, 5))}").arguments == {"region": "eu", "depth": 3}


async def test_today_is_the_day_of_the_fire_time_in_the_crons_zone(
    store: Store, daemon: Daemon
) -> None:
    task = a_task(params={"day": {"type": "date", "default": "today"}})
    await daemon.take_up(a_cron(cron="30 23 * * *", timezone="America/New_York", task=task))

    await daemon.tick_at(at(12))

    job = store.job(f"tick@{rfc3339(at(3, 30))}")
    assert job.arguments == {"day": "2030-05-05"}


async def test_a_cron_with_bad_arguments_fires_so_that_its_job_can_fail_for_them(
    store: Store, daemon: Daemon
) -> None:
    await daemon.take_up(a_cron(task=a_task(params={"region": {"required": True}})))

    await daemon.tick_at(at(0, 5))

    assert fired(store) == [at(0, 5)]


async def test_a_job_goes_to_the_queue_and_level_of_its_task(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron(task=a_task(queue="web", priority="high")))

    await daemon.tick_at(at(0, 5))

    assert [stream for stream, _ in store.entries()] == [store.keys.queue("web", "high")]


# What `status` shows.


async def test_next_fire_times_are_noted(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron("tick"), a_cron("nightly", cron="0 2 * * *"))
    assert record(store, "tick").next_fire_at == at(0, 5)
    assert record(store, "nightly").next_fire_at == at(2)

    await daemon.tick_at(at(0, 5))

    assert record(store, "tick").next_fire_at == at(0, 10)
    assert record(store, "nightly").next_fire_at == at(2)


async def test_a_missed_fire_time_is_not_shown_as_the_next_one(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    async with a_daemon(address, clock, a_cron()) as daemon:
        await daemon.tick_at(at(0, 5))
        clock.set_to(at(5))

        await daemon.take_up(a_cron())

        assert record(store).next_fire_at is None
        await daemon.tick()
        assert record(store).next_fire_at == at(5, 5)


async def test_a_cron_that_never_fires_again_has_no_next_fire_time(
    store: Store, daemon: Daemon
) -> None:
    daemon.clock.set_to(datetime(9950, 1, 1, tzinfo=UTC))

    await daemon.take_up(a_cron())

    assert record(store).next_fire_at is None

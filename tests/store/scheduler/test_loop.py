"""The scheduler's loop: due jobs, sleep, outages and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobrunner.clock import rfc3339
from jobrunner.lateness import STORE_AWAY
from jobrunner.model import JobState
from jobrunner.scheduler import PROMPT
from jobrunner.store.address import StoreAddress
from jobrunner.store.due import BATCH
from jobrunner.store.submission import submit
from tests.clock import FakeClock
from tests.store.factories import Store, minutes
from tests.store.scheduler.scheduling import (
    Daemon,
    a_cron,
    a_daemon,
    at,
    fired,
    queue,
)
from tests.store.switch import Switch
from tests.store.waiting import until

pytestmark = pytest.mark.anyio


# Due jobs.


async def test_due_jobs_are_promoted_in_batches_without_a_pause(
    store: Store, daemon: Daemon
) -> None:
    submissions = [store.submission(delay=minutes(1)) for _ in range(BATCH + 3)]
    store.run(submit(store.keys, submissions))
    for submission in submissions:
        store.make_due(submission.id)

    wake_at = await daemon.tick()

    assert wake_at == daemon.clock.now() + PROMPT
    assert len(queue(store)) == BATCH
    await daemon.tick()
    assert len(queue(store)) == BATCH + 3


async def test_the_loop_sleeps_until_the_next_job_is_due_by_the_stores_clock(
    store: Store, daemon: Daemon
) -> None:
    # The daemon's clock is years ahead here; a job that seems due must not make a hot loop.
    store.submit(delay=minutes(10))

    wake_at = await daemon.tick()

    assert minutes(9) < wake_at - daemon.clock.now() <= minutes(10)


async def test_an_idle_tick_costs_one_round_trip(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock, a_cron()) as daemon:
            before = switch.round_trips
            await daemon.tick()

            assert switch.round_trips == before + 1


async def test_a_fire_costs_three_round_trips_whatever_the_number_of_crons(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    crons = [a_cron(f"tick-{number}") for number in range(20)]
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock, *crons) as daemon:
            await daemon.tick_at(at(0, 5))  # the server has not got the scripts before
            before = switch.round_trips
            await daemon.tick_at(at(0, 10))

            assert switch.round_trips == before + 3  # fire, note the next fire times, promote
    assert len(queue(store)) == 40


# The loop.


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[asyncio.Task[None]]:
    stopping = asyncio.Event()
    loop = asyncio.create_task(daemon.scheduler.run(stopping))
    yield loop
    stopping.set()
    daemon.wake.set()
    await loop


async def test_an_earlier_job_wakes_the_loop(store: Store, daemon: Daemon) -> None:
    await daemon.take_up(a_cron())
    async with running(daemon):
        await until(lambda: not daemon.wake.is_set())
        job_id = store.submit(delay=minutes(1))
        store.make_due(job_id)

        daemon.wake.set()

        await until(lambda: queue(store) == [job_id])


async def test_the_loop_survives_an_outage_and_makes_what_came_due_in_it(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with (
            a_daemon(switch.address, clock, a_cron(misfire="skip")) as daemon,
            running(daemon),
        ):
            await until(lambda: not daemon.wake.is_set())
            switch.down()
            clock.set_to(at(0, 5))
            await asyncio.sleep(0.05)
            assert fired(store) == []

            switch.up()
            await until(lambda: fired(store) == [at(0, 5)])


async def test_what_fires_late_after_an_outage_is_put_down_to_it(
    store: Store,
    address: StoreAddress,
    clock: FakeClock,
    socket_path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Switch(socket_path, address) as switch:
        async with a_daemon(switch.address, clock, a_cron()) as daemon, running(daemon):
            await until(lambda: not daemon.wake.is_set())
            switch.down()
            clock.advance(minutes=5)
            await until(lambda: "could not schedule" in caplog.messages)
            clock.advance(seconds=8)

            switch.up()
            await until(lambda: "fired late" in caplog.messages)

    (told,) = [record for record in caplog.records if record.message == "fired late"]
    assert told.__dict__["fields"] == {
        "cron": "tick", "fire_time": rfc3339(at(0, 5)), "seconds": 8.0, "why": STORE_AWAY,
    }  # fmt: skip


async def test_a_fire_whose_reply_was_lost_is_proposed_again(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with (
            a_daemon(switch.address, clock, a_cron(overlap="queue")) as daemon,
            running(daemon),
        ):
            await until(lambda: not daemon.wake.is_set())
            switch.lose_reply(after=1)  # that to the promotion of due jobs comes first
            clock.advance(minutes=5)
            await until(lambda: fired(store) == [at(0, 5)])
            clock.advance(minutes=5)

            await until(lambda: fired(store) == [at(0, 5), at(0, 10)])
    assert fired(store, "tick", JobState.BLOCKED) == [at(0, 10)]

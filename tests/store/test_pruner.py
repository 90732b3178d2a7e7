"""The pruner's loop: what is past its retention goes, and nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from jobrunner.clock import from_ms, to_ms
from jobrunner.daemon.pruner import TICK, Pruner
from jobrunner.manifest.parts import Retention
from jobrunner.model import TERMINAL, JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.keys import Keys
from jobrunner.store.removal import BATCH
from jobrunner.store.stats import FOLD_BATCH, Query, Window, read_stats
from tests.clock import FakeClock
from tests.store.clocked import AsyncClockedConnection
from tests.store.factories import Store, minutes
from tests.store.switch import Switch
from tests.store.waiting import until

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


@pytest.fixture
def clock(store: Store) -> FakeClock:
    """By the store's clock, since that is in the records."""
    store.add_worker()
    return FakeClock(from_ms(store.now_ms()))


@asynccontextmanager
async def a_pruner(
    address: StoreAddress, clock: FakeClock, **retention: Any
) -> AsyncIterator[Pruner]:
    async with AsyncClockedConnection(address, clock.now) as connection:
        pruner = Pruner(Keys(address.name), connection, clock)
        pruner.take_up(Retention(**retention))
        yield pruner


async def prune(address: StoreAddress, clock: FakeClock, **retention: Any) -> None:
    async with a_pruner(address, clock, **retention) as pruner:
        await pruner.tick()


def ended(
    store: Store, clock: FakeClock, age: timedelta, state: JobState = JobState.COMPLETED
) -> str:
    """A job that ended so long ago."""
    job_id = store.finished(state)
    score = to_ms(clock.now() - age)
    for index in (store.keys.done(state), store.keys.task_done("demo")):
        store.command("ZADD", index, "XX", score, job_id)
    return job_id


def left(store: Store) -> set[str]:
    return set(store.records())


async def test_completed_jobs_go_when_they_are_too_old(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    ended(store, clock, 2 * DAY)
    young = ended(store, clock, DAY - minutes(1))

    await prune(address, clock, completed="1d")

    assert left(store) == {young}


@pytest.mark.parametrize("state", sorted(TERMINAL - {JobState.COMPLETED}))
async def test_other_ended_jobs_have_an_age_of_their_own(
    store: Store, address: StoreAddress, clock: FakeClock, state: JobState
) -> None:
    ended(store, clock, 4 * DAY, state)
    young = ended(store, clock, 2 * DAY, state)

    await prune(address, clock, completed="1d", failed="3d")

    assert left(store) == {young}


async def test_of_too_many_jobs_in_a_state_the_oldest_go(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    ids = [ended(store, clock, minutes(age)) for age in (30, 20, 10)]
    failed = ended(store, clock, minutes(40), JobState.FAILED)

    await prune(address, clock, jobs=2)

    assert left(store) == {*ids[1:], failed}


async def test_live_jobs_stay_however_old(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    ids = {store.running().job_id, store.submit(), store.submit(delay=minutes(1))}

    clock.advance(days=400)
    await prune(address, clock, completed="1s", failed="1s", jobs=0)

    assert left(store) == ids


async def test_a_live_job_in_an_index_of_ended_ones_does_not_hold_up_the_prune(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    for state in (JobState.COMPLETED, JobState.FAILED):
        ended(store, clock, 2 * DAY, state)
    live = store.submit()
    store.command("ZADD", store.keys.done(JobState.COMPLETED), 1, live)

    await asyncio.wait_for(prune(address, clock, completed="1d", failed="1d"), timeout=10)

    assert left(store) == {live}
    assert store.state(live) is JobState.QUEUED
    assert store.command("LLEN", store.keys.tally()) == 0


async def test_a_member_that_is_no_text_does_not_hold_up_the_prune(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    ended(store, clock, 2 * DAY)
    store.command("ZADD", store.keys.done(JobState.COMPLETED), 1, b"\xff")
    store.command("ZADD", store.keys.results(), 1, b"\xff")

    await asyncio.wait_for(prune(address, clock, completed="1d"), timeout=10)

    assert left(store) == set()
    assert store.command("EXISTS", store.keys.done(JobState.COMPLETED), store.keys.results()) == 0


async def test_a_pruned_job_takes_its_output_along(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    job_id = ended(store, clock, 2 * DAY)
    store.command("XADD", store.keys.log(job_id), "*", "c", "line")

    await prune(address, clock, completed="1d")

    assert store.command("EXISTS", store.keys.log(job_id)) == 0


async def test_more_than_one_batch_goes_in_one_tick(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    for _ in range(BATCH + 5):
        store.submit()
    for entry in store.claim(free=1000):
        store.finish(entry)
    clock.advance(days=2)

    await prune(address, clock, completed="1d")

    assert left(store) == set()


async def test_a_result_goes_when_its_own_life_is_over_and_the_record_stays(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    ids = []
    for life in (minutes(1), minutes(10)):
        entry = store.claimed()
        store.finish(entry, result=b"42", result_life_ms=int(life.total_seconds() * 1000))
        ids.append(entry.job_id)

    clock.advance(minutes=5)
    await prune(address, clock)

    assert [store.job(job_id).result for job_id in ids] == [None, 42]


async def test_a_reload_changes_what_is_kept(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    ended(store, clock, 2 * DAY)
    async with a_pruner(address, clock, completed="7d") as pruner:
        await pruner.tick()
        assert len(left(store)) == 1

        pruner.take_up(Retention(completed="1d"))
        await pruner.tick()

    assert left(store) == set()


async def test_pruners_that_race_harm_nothing(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    for _ in range(50):
        ended(store, clock, 2 * DAY)
    young = ended(store, clock, minutes(1))

    await asyncio.gather(*(prune(address, clock, completed="1d") for _ in range(3)))

    assert left(store) == {young}


async def test_what_was_counted_is_folded(
    store: Store, address: StoreAddress, clock: FakeClock
) -> None:
    for _ in range(FOLD_BATCH):
        store.finished()

    await prune(address, clock)

    assert store.command("LLEN", store.keys.tally()) == 0
    [hour] = store.run(read_stats(store.keys, [Query(Window.HOUR, "demo")]))
    assert (hour.submitted, hour.completed) == (FOLD_BATCH, FOLD_BATCH)


async def test_a_key_of_another_type_holds_up_only_its_own_step(
    store: Store, address: StoreAddress, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ended(store, clock, 2 * DAY, JobState.FAILED)
    damaged = [store.keys.done(JobState.COMPLETED), store.keys.tally()]
    for key in damaged:
        store.command("DEL", key)
        store.command("SET", key, "x")

    with caplog.at_level(logging.WARNING, logger="jobrunner"):
        await prune(address, clock, failed="1d")

    assert left(store) == set()
    assert caplog.messages == [f"found a damaged key: {key}" for key in damaged]
    assert all("jobrunner doctor" in record.__dict__["fields"]["fix"] for record in caplog.records)
    store.command("DEL", *damaged)


async def test_the_loop_prunes_by_the_clock_and_survives_an_outage(
    store: Store, address: StoreAddress, clock: FakeClock, socket_path: str
) -> None:
    stopping = asyncio.Event()
    with Switch(socket_path, address) as switch:
        async with a_pruner(switch.address, clock, completed="1d") as pruner:
            before = switch.round_trips
            loop = asyncio.create_task(pruner.run(stopping))
            await asyncio.sleep(0.01)
            ended(store, clock, 2 * DAY)
            assert switch.round_trips == before  # not before its first tick

            switch.down()
            clock.advance(seconds=TICK.total_seconds())
            await asyncio.sleep(0.05)
            assert len(left(store)) == 1

            switch.up()
            clock.advance(seconds=TICK.total_seconds())
            await until(lambda: left(store) == set())
            stopping.set()
            await loop

"""The rescuer's loop: what dead workers held goes back, once, after what they had left is dead."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from msgspec.structs import replace

from jobrunner.errors import StoreUnavailable
from jobrunner.model import JobState, Priority, Reason
from jobrunner.rescuer import Rescuer
from jobrunner.runner.leftovers import Ours
from jobrunner.runner.processes import ProcessRegistry, marks
from jobrunner.runner.proctable import pid_space
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry, claim_next
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.leases import enlist, note_stopping, read_worker
from jobrunner.store.rescue import BATCH, find_orphans
from jobrunner.store.submission import submit
from tests.clock import FakeClock
from tests.store.clients import eventually
from tests.store.factories import A_WAITED_LOCK, LONG_AGO, QUEUES, Store, a_worker
from tests.store.switch import Switch
from tests.store.waiting import until

pytestmark = pytest.mark.anyio
OWNER = "mark-of-the-namespace"
OURS = Ours(OWNER)


@asynccontextmanager
async def a_rescuer(address: StoreAddress, **max_lost: int) -> AsyncIterator[Rescuer]:
    async with AsyncStoreConnection(address) as connection:
        rescuer = Rescuer(Keys(address.name), connection, FakeClock(), ours=OURS)
        rescuer.take_up(max_lost)
        yield rescuer


@pytest.fixture
async def rescuer(store: Store, address: StoreAddress) -> AsyncIterator[Rescuer]:
    async with a_rescuer(address) as opened:
        yield opened


async def tick(rescuer: Rescuer) -> None:
    await rescuer.tick(FakeClock().now())


def lose(store: Store, worker: str = "w1") -> Entry:
    """A job whose worker dies while it runs, once more."""
    (entry,) = store.claim(worker)
    store.start(entry, worker)
    store.end_lease(worker)
    return entry


@contextmanager
def a_leftover(worker: str, owner: str = OWNER) -> Iterator[subprocess.Popen[bytes]]:
    """A process that a dead worker has left."""
    environ = {**os.environ, **marks(worker, owner)}
    process = subprocess.Popen(["sleep", "60"], start_new_session=True, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# Whose jobs.


async def test_jobs_of_a_worker_whose_lease_expired_are_queued_again(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    running, claimed = store.running(), store.claimed()
    store.end_lease("w1")

    await tick(rescuer)

    for entry in (running, claimed):
        job = store.job(entry.job_id)
        assert (job.state, job.attempt, job.worker) == (JobState.QUEUED, 1, None)
        assert store.entry_of(entry.job_id)["l"] == "1"


async def test_jobs_of_live_workers_are_left_alone_however_long_they_run(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    mine, others = store.running("w1"), store.running("w2")
    store.command("ZADD", store.keys.running(), 1, others.job_id)
    store.end_lease("w1")

    await tick(rescuer)

    assert store.state(mine.job_id) is JobState.QUEUED
    assert store.state(others.job_id) is JobState.RUNNING
    assert store.record(others.job_id)["entry"] == others.entry_id


async def test_a_worker_that_is_known_to_be_dead_is_rescued_before_its_lease_ends(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    entry = store.running()

    await rescuer.rescue("w1")

    assert store.state(entry.job_id) is JobState.QUEUED
    assert store.run(read_worker(store.keys, "w1")) is None


async def test_live_workers_survive_that_the_clock_of_the_store_is_set_forward(
    store: Store, address: StoreAddress
) -> None:
    clock = FakeClock()
    store.add_worker()
    entry = store.running()
    async with AsyncStoreConnection(address) as connection:
        rescuer = Rescuer(Keys(address.name), connection, clock, ours=OURS)
        await rescuer.tick(clock.now())

        # The store's clock cannot be set here. To who lost a minute it seems to have been.
        clock.advance(minutes=-1)
        store.end_lease("w1")
        await rescuer.tick(clock.now())
        clock.advance(seconds=5)
        await rescuer.tick(clock.now())

        assert store.state(entry.job_id) is JobState.RUNNING
        assert store.run(read_worker(store.keys, "w1")) is not None

        # Who has not renewed until then is dead.
        clock.advance(seconds=5)
        await rescuer.tick(clock.now())

    assert store.state(entry.job_id) is JobState.QUEUED


async def test_the_rescue_of_one_worker_does_not_judge_others_by_their_leases(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w2")
    store.end_lease("w2")

    await rescuer.rescue("w1")

    assert store.state(entry.job_id) is JobState.RUNNING


async def test_a_worker_that_left_nothing_is_forgotten(store: Store, rescuer: Rescuer) -> None:
    store.add_worker()

    await rescuer.rescue("w1")

    assert store.run(read_worker(store.keys, "w1")) is None
    assert store.texts("ZRANGE", store.keys.workers(), 0, -1) == []


async def test_a_rescued_worker_cannot_write_its_ends(store: Store, rescuer: Rescuer) -> None:
    store.add_worker()
    entry = store.running()
    await rescuer.rescue("w1")

    assert store.finish(entry).states == [None]
    assert store.state(entry.job_id) is JobState.QUEUED


async def test_an_entry_that_a_buried_worker_was_given_is_rescued_later(
    store: Store, rescuer: Rescuer
) -> None:
    # It was stopped in its waiting read: the server hands it a job all the same.
    store.add_worker()
    await rescuer.rescue("w1")
    job_id = store.submit()
    store.run(claim_next(store.keys, "w1", QUEUES, block_ms=1))

    await tick(rescuer)

    store.add_worker("w2")
    assert [entry.job_id for entry in store.claim("w2")] == [job_id]


async def test_a_queue_that_left_the_manifest_is_still_looked_at(
    store: Store, rescuer: Rescuer
) -> None:
    store.queues = ["gone"]
    store.add_worker()
    entry = store.running(queue="gone")
    store.end_lease("w1")

    await tick(rescuer)

    assert store.state(entry.job_id) is JobState.QUEUED


async def test_all_queues_and_levels_of_a_worker_are_rescued(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    places = [("default", Priority.HIGH), ("web", Priority.NORMAL), ("web", Priority.LOW)]
    ids = [store.claimed(queue=queue, priority=level).job_id for queue, level in places]

    await rescuer.rescue("w1")

    assert {store.state(job_id) for job_id in ids} == {JobState.QUEUED}
    store.add_worker("w2")
    assert {entry.job_id for entry in store.claim("w2")} == set(ids)


async def test_more_jobs_than_one_batch_are_all_rescued(store: Store, rescuer: Rescuer) -> None:
    store.add_worker()
    store.run(submit(store.keys, [store.submission() for _ in range(BATCH + 5)]))
    assert len(store.claim(free=1000)) == BATCH + 5

    await rescuer.rescue("w1")

    store.add_worker("w2")
    assert len(store.claim("w2", free=1000)) == BATCH + 5


async def test_racing_rescuers_queue_each_job_once(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    store.run(submit(store.keys, [store.submission() for _ in range(50)]))
    store.claim(free=1000)
    store.end_lease("w1")

    async with a_rescuer(address) as one, a_rescuer(address) as two, a_rescuer(address) as three:
        await asyncio.gather(tick(one), two.rescue("w1"), tick(three))

    assert len(store.entries()) == 50
    assert {fields["l"] for fields in store.entries().values()} == {"1"}


async def test_a_rescue_that_was_cut_off_is_finished_by_the_next_tick(
    store: Store, address: StoreAddress, socket_path: str, rescuer: Rescuer
) -> None:
    store.add_worker()
    entry = store.running()
    with Switch(socket_path, address) as switch:
        async with a_rescuer(switch.address) as killed:
            switch.hang()
            rescue = asyncio.create_task(killed.rescue("w1"))
            await until(lambda: switch.round_trips > 0)
            rescue.cancel()
    assert store.state(entry.job_id) is JobState.RUNNING

    store.end_lease("w1")
    await tick(rescuer)

    assert store.state(entry.job_id) is JobState.QUEUED


# How often.


async def test_a_job_that_was_lost_too_often_fails_as_lost(
    store: Store, address: StoreAddress
) -> None:
    async with a_rescuer(address, demo=2) as rescuer:
        job_id = store.submit()
        for worker in ("w1", "w2"):
            store.add_worker(worker)
            lose(store, worker)
            await tick(rescuer)

    job = store.job(job_id)
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.LOST, 2)
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("lost", "its worker died 2 times while it ran")
    assert store.entries() == {}


async def test_a_task_that_this_daemon_does_not_know_has_the_default_limit(
    store: Store, rescuer: Rescuer
) -> None:
    job_id = store.submit(task="unknown")
    states = []
    for worker in ("w1", "w2", "w3"):
        store.add_worker(worker)
        (entry,) = store.claim(worker)
        store.end_lease(worker)
        await tick(rescuer)
        states.append(store.state(entry.job_id))

    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    assert store.job(job_id).reason is Reason.LOST


async def test_a_neighbour_of_a_job_that_kills_its_workers_is_not_failed(
    store: Store, address: StoreAddress
) -> None:
    async with a_rescuer(address, poison=1) as rescuer:
        store.add_worker()
        poison, neighbour = store.running(task="poison"), store.running(task="demo")

        await rescuer.rescue("w1")

    assert store.state(poison.job_id) is JobState.FAILED
    assert store.state(neighbour.job_id) is JobState.QUEUED


async def test_a_lost_job_wakes_those_that_waited_for_it(
    store: Store, address: StoreAddress
) -> None:
    async with a_rescuer(address, demo=1) as rescuer:
        store.add_worker()
        entry = store.running()
        follower = store.submit(after=entry.job_id)

        await rescuer.rescue("w1")

    job = store.job(follower)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.UPSTREAM)


async def test_a_lost_job_frees_its_lock_for_the_next_in_line(
    store: Store, address: StoreAddress
) -> None:
    async with a_rescuer(address, demo=1) as rescuer:
        store.add_worker("w1")
        store.add_worker("w2")
        store.running("w1", lock=A_WAITED_LOCK)
        waiter = store.claimed("w2")
        store.start(waiter, "w2", lock=A_WAITED_LOCK)

        await rescuer.rescue("w1")

    assert store.state(waiter.job_id) is JobState.QUEUED
    assert store.holders(A_WAITED_LOCK) == []


async def test_a_lost_job_frees_its_slot_also_while_another_job_has_one(
    store: Store, address: StoreAddress
) -> None:
    two_slots = replace(A_WAITED_LOCK, slots=2)
    store.add_worker("w1")
    store.add_worker("w2")
    store.running("w1", lock=two_slots)
    holder = store.running("w2", lock=two_slots)
    waiter = store.claimed("w2")
    store.start(waiter, "w2", lock=two_slots)

    async with a_rescuer(address, demo=1) as rescuer:
        await rescuer.rescue("w1")

    assert store.state(waiter.job_id) is JobState.QUEUED
    assert store.holders(two_slots) == [holder.job_id]


async def test_a_job_that_is_being_cancelled_ends_as_cancelled(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    entry = store.running()
    store.run(cancel(store.keys, entry.job_id))

    await rescuer.rescue("w1")

    assert store.state(entry.job_id) is JobState.CANCELLED
    assert store.entries() == {}


async def test_an_entry_that_is_no_job_is_recorded_as_failed(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    stream = store.keys.queue("default", "normal")
    store.command("XADD", stream, "*", "garbage", "x")
    job = store.submit()
    store.claim()

    await rescuer.rescue("w1")

    assert store.state(job) is JobState.QUEUED
    (damaged,) = store.texts("ZRANGE", store.keys.done(JobState.FAILED), 0, -1)
    assert store.job(damaged).reason is Reason.INVALID_ARGUMENTS
    assert len(store.entries()) == 1


# What it left behind.


@pytest.mark.parametrize("is_known", [True, False])
async def test_what_a_dead_worker_left_is_dead_before_its_jobs_are_queued(
    store: Store, rescuer: Rescuer, is_known: bool
) -> None:
    store.add_worker()
    entry = store.running()
    if is_known:
        store.run(enlist(store.keys, replace(a_worker("w1"), host=socket.gethostname())))
    else:
        store.command("DEL", store.keys.worker("w1"))
    with a_leftover("w1") as marked:
        rescue = asyncio.create_task(rescuer.rescue("w1"))

        while store.state(entry.job_id) is JobState.RUNNING:
            is_dead = marked.poll() is not None
            await asyncio.sleep(0)
        await rescue

    assert is_dead


async def test_what_a_dead_worker_left_is_killed_also_while_the_store_is_away(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch, a_leftover("w1") as marked:
        switch.down()

        async with a_rescuer(switch.address) as rescuer:
            with pytest.raises(StoreUnavailable):
                await rescuer.rescue("w1")

        eventually(lambda: marked.poll() is not None)


async def test_a_dead_worker_is_not_buried_before_what_it_left_is_dead(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    with a_leftover("w1") as marked:
        rescue = asyncio.create_task(rescuer.rescue("w1"))

        while store.command("ZSCORE", store.keys.workers(), "w1") is not None:
            is_dead = marked.poll() is not None
            await asyncio.sleep(0)
        await rescue

    assert is_dead


async def test_a_process_group_on_record_is_a_claim_and_nobody_is_killed_for_it(
    store: Store, rescuer: Rescuer
) -> None:
    known = replace(a_worker("w1"), host=socket.gethostname(), pid_space=pid_space())
    store.add_worker("w1")
    store.run(enlist(store.keys, known))
    store.running()
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    registry = ProcessRegistry("w1", owner=OWNER)
    registry.add(stranger.pid, "job1")
    store.command("HSET", store.keys.worker("w1"), "groups", registry.groups_json())
    store.command("HSET", store.keys.worker("w1"), "pid", stranger.pid)
    store.end_lease("w1")

    await tick(rescuer)

    assert store.run(read_worker(store.keys, "w1")) is None
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


async def test_a_worker_of_another_namespace_is_spared_though_this_store_claims_its_id(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker("w1")
    store.run(enlist(store.keys, replace(a_worker("w1"), host=socket.gethostname())))
    store.running()
    store.end_lease("w1")
    with a_leftover("w1", owner="mark-of-another") as others, a_leftover("w1") as ours:
        await tick(rescuer)

        eventually(lambda: ours.poll() is not None)
        assert others.poll() is None


async def test_processes_of_other_workers_are_left_alone(store: Store, rescuer: Rescuer) -> None:
    store.add_worker("w1")
    with a_leftover("w2") as others:
        await rescuer.rescue("w1")

        assert others.poll() is None


# Locks.


async def test_waiters_of_a_lock_whose_holder_vanished_are_woken(
    store: Store, keys: Keys, rescuer: Rescuer
) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    holder = store.running("w1", lock=A_WAITED_LOCK)
    waiter = store.claimed("w2")
    store.start(waiter, "w2", lock=A_WAITED_LOCK)
    for key, member in ((keys.lock("report"), holder.job_id), (keys.locks(), "report")):
        store.command("ZADD", key, LONG_AGO, member)  # its TTL has ended

    await tick(rescuer)

    assert store.state(waiter.job_id) is JobState.QUEUED


# The loop.


async def test_the_loop_looks_three_times_per_lease(store: Store, rescuer: Rescuer) -> None:
    clock = FakeClock()

    assert await rescuer.tick(clock.now()) == clock.now() + timedelta(seconds=5)


async def test_an_idle_tick_costs_four_round_trips(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    with Switch(socket_path, address) as switch:
        async with a_rescuer(switch.address) as rescuer:
            await tick(rescuer)
            before = switch.round_trips

            await tick(rescuer)

            assert switch.round_trips == before + 4


async def test_the_loop_survives_an_outage(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entry = store.running()
    stopping = asyncio.Event()
    with Switch(socket_path, address) as switch:
        switch.down()
        async with a_rescuer(switch.address) as rescuer:
            loop = asyncio.create_task(rescuer.run(stopping))
            await asyncio.sleep(0.05)
            store.end_lease("w1")

            switch.up()

            await until(lambda: store.state(entry.job_id) is JobState.QUEUED)
            stopping.set()
            await loop


# A stop is no loss.


async def test_a_worker_that_was_being_stopped_counts_no_loss_however_often(
    store: Store, address: StoreAddress
) -> None:
    async with a_rescuer(address, demo=1) as rescuer:
        job_id = store.submit()
        for number in range(3):
            worker = store.add_worker(f"w{number}")
            (entry,) = store.claim(worker)
            store.start(entry, worker)
            store.run(note_stopping(store.keys, [worker]))
            store.end_lease(worker)

            await tick(rescuer)

            job = store.job(job_id)
            assert (job.state, job.attempt) == (JobState.QUEUED, 0)
            assert store.entry_of(job_id)["l"] == "0"


async def test_a_worker_that_crashes_while_it_is_being_stopped_counts_a_loss(
    store: Store, rescuer: Rescuer
) -> None:
    store.add_worker()
    entry = store.running()
    store.run(note_stopping(store.keys, ["w1"]))

    await rescuer.rescue("w1", has_crashed=True)

    assert store.entry_of(entry.job_id)["l"] == "1"


async def test_a_loss_before_the_stop_is_still_a_loss(store: Store, rescuer: Rescuer) -> None:
    store.add_worker()
    entry = store.running()
    store.end_lease("w1")
    store.run(find_orphans(store.keys, QUEUES))
    store.run(note_stopping(store.keys, ["w1"]))

    await tick(rescuer)

    assert store.entry_of(entry.job_id)["l"] == "1"

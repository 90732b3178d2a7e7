"""The finisher's loop: every end is written, in as few calls as possible."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from jobrunner.model import JobState, Priority
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry, requeue
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.submission import submit
from jobrunner.worker.finisher import LARGEST_BATCH, MOST_UNWRITTEN, Finisher
from tests.store.clients import calls_of
from tests.store.factories import A_WAITED_LOCK, Store
from tests.store.switch import Switch
from tests.store.waiting import in_background, until

pytestmark = pytest.mark.anyio


class Finishing:
    """A finisher whose loop runs."""

    def __init__(self, store: Store, connection: AsyncStoreConnection) -> None:
        self.store = store
        self.saved: list[str] = []
        self.finisher = Finisher(store.keys, connection, "w1", self._note_saved)

    async def _note_saved(self, job_ids: list[str]) -> None:
        self.saved += job_ids

    def add(self, *entries: Entry) -> None:
        for entry in entries:
            self.finisher.add(self.store.end(entry))

    async def written(self) -> None:
        async with asyncio.timeout(5):
            await self.finisher.wait_idle()


@asynccontextmanager
async def finishing(store: Store, address: StoreAddress) -> AsyncIterator[Finishing]:
    async with AsyncStoreConnection(address) as connection:
        opened = Finishing(store, connection)
        async with in_background(opened.finisher.run()):
            yield opened


def claimed(store: Store, number: int) -> list[Entry]:
    """So many new jobs that the worker has claimed."""
    submissions = [store.submission() for _ in range(number)]
    store.run(submit(store.keys, submissions))
    return store.claim(free=number)


def states(store: Store, entries: Sequence[Entry]) -> set[JobState]:
    return {store.state(entry.job_id) for entry in entries}


# Batches.


async def test_ends_that_come_during_a_call_are_written_by_the_next_one(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    first, *others = claimed(store, 51)
    store.finish(store.claimed())  # the server knows the script
    with Switch(socket_path, address) as switch:
        async with finishing(store, switch.address) as worker:
            switch.hang()
            worker.add(first)
            await until(lambda: switch.round_trips == 1)
            worker.add(*others)

            switch.up()
            await worker.written()

            assert switch.round_trips == 2
    assert states(store, [first, *others]) == {JobState.COMPLETED}


async def test_a_call_has_a_largest_size(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    entries = claimed(store, 2 * LARGEST_BATCH + 1)
    store.finish(store.claimed())  # the server knows the script
    before = calls_of(store)["evalsha"]
    async with finishing(store, address) as worker:
        worker.add(*entries)
        await worker.written()

    assert calls_of(store)["evalsha"] == before + 3
    assert worker.saved == [entry.job_id for entry in entries]


async def test_an_end_is_written_at_once_when_nothing_else_goes_on(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    (entry,) = claimed(store, 1)
    async with finishing(store, address) as worker:
        worker.add(entry)
        await until(lambda: store.state(entry.job_id) is JobState.COMPLETED, within=0.5)


async def test_a_task_that_is_acked_each_is_written_by_itself_before_all_else_goes_on(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    (entry,) = claimed(store, 1)
    async with finishing(store, address) as worker:
        await worker.finisher.write_now(store.end(entry))

        assert store.state(entry.job_id) is JobState.COMPLETED
        assert worker.saved == [entry.job_id]


async def test_nothing_to_write_is_idle(store: Store, address: StoreAddress) -> None:
    async with finishing(store, address) as worker:
        await worker.written()


# Trouble.


async def test_ends_are_kept_while_the_store_is_away(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entries = claimed(store, 3)
    with Switch(socket_path, address) as switch:
        switch.down()
        async with finishing(store, switch.address) as worker:
            worker.add(entries[0])
            await asyncio.sleep(0.05)
            worker.add(*entries[1:])
            assert states(store, entries) == {JobState.QUEUED}

            switch.up()
            await worker.written()

    assert states(store, entries) == {JobState.COMPLETED}


async def test_a_call_whose_reply_was_lost_is_repeated_without_harm(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entries = claimed(store, 3)
    with Switch(socket_path, address) as switch:
        async with finishing(store, switch.address) as worker:
            switch.lose_reply()
            worker.add(*entries)
            await worker.written()
            before = {entry.job_id: store.record(entry.job_id) for entry in entries}
            worker.add(*entries)
            await worker.written()

    assert states(store, entries) == {JobState.COMPLETED}
    assert {entry.job_id: store.record(entry.job_id) for entry in entries} == before
    assert store.entries() == {}


async def test_jobs_woken_by_a_lost_call_are_due_for_the_scheduler(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    store.finished()  # the server knows the script
    (entry,) = claimed(store, 1)
    follower = store.submit(after=entry.job_id)
    with Switch(socket_path, address) as switch:
        async with finishing(store, switch.address) as worker:
            switch.lose_reply()
            worker.add(entry)
            await worker.written()

    assert store.due_jobs() == [follower]


async def test_the_end_of_a_job_that_was_taken_back_is_refused_and_the_others_are_written(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    lost, mine = claimed(store, 2)
    store.run(requeue(store.keys, [lost], is_lost=True))
    async with finishing(store, address) as worker:
        worker.add(lost, mine)
        await worker.written()

    assert (store.state(lost.job_id), store.state(mine.job_id)) == (
        JobState.QUEUED,
        JobState.COMPLETED,
    )
    assert worker.saved == [mine.job_id]


# Who waits.


async def test_jobs_that_waited_for_these_ends_are_queued_at_once(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    (entry,) = claimed(store, 1)
    followers = {store.submit(after=entry.job_id) for _ in range(3)}
    async with finishing(store, address) as worker:
        worker.add(entry)
        await worker.written()

    assert {fields["id"] for fields in store.entries().values()} == followers


async def test_the_next_in_line_for_a_lock_is_queued_at_once(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()
    async with finishing(store, address) as worker:
        worker.finisher.add(store.end(holder, lock=A_WAITED_LOCK))
        await worker.written()

    assert store.state(waiter) is JobState.QUEUED


# What it costs: figures of the design, as counts, since times differ from machine to machine.


async def test_a_plain_job_costs_six_commands_of_the_server_in_a_batch(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    async with finishing(store, address) as worker:
        for number in (1, LARGEST_BATCH):  # the first round loads the scripts
            before = sum(calls_of(store).values())
            worker.add(*claimed(store, number))
            await worker.written()

    made = sum(calls_of(store).values()) - before
    # HGET, XADD, HSET at the submit; HMGET, HSET at the end; the rest is per call.
    assert made <= 6 * LARGEST_BATCH


async def test_a_finished_plain_job_leaves_its_record_and_three_indexes(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    (entry,) = claimed(store, 1)
    async with finishing(store, address) as worker:
        worker.add(entry)
        await worker.written()

    held = {key for key in store.snapshot() if not key.endswith(tuple(_streams(store)))}
    keys = store.keys
    assert held == {
        keys.job(entry.job_id),
        keys.done(JobState.COMPLETED),
        keys.task_done("demo"),
        keys.last_job(),
        keys.tally(),
        keys.queues(),
        keys.workers(),
        keys.worker("w1"),
    }
    assert store.entries() == {}


def _streams(store: Store) -> list[str]:
    return [store.keys.queue(queue, level) for queue in store.queues for level in Priority]


async def test_while_many_ends_wait_there_is_no_room_for_more_jobs(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entries = claimed(store, MOST_UNWRITTEN + 1)
    with Switch(socket_path, address) as switch:
        async with finishing(store, switch.address) as worker:
            switch.hang()
            worker.add(entries[0])
            await until(lambda: switch.replies_held)
            worker.add(*entries[1:-1])
            await worker.finisher.wait_for_room()

            worker.add(entries[-1])
            waiting = asyncio.create_task(worker.finisher.wait_for_room())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()

            switch.up()
            await waiting
            await worker.written()
    assert states(store, entries) == {JobState.COMPLETED}

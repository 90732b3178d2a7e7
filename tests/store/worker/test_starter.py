"""Start records: none for short attempts, one for those that last, and what a refusal does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from jobrunner.clock import SystemClock
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry, Start, StartedAs, requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.worker.starter import LATE_AFTER_S, Begun, Starter
from tests.store.factories import A_LOCK, Store
from tests.store.switch import Switch
from tests.store.waiting import in_background, until

pytestmark = pytest.mark.anyio
OUTAGE_S = 0.5


class Starting:
    """A starter whose loop runs."""

    def __init__(self, store: Store, connection: AsyncStoreConnection) -> None:
        self.refused: list[tuple[str, StartedAs]] = []
        self.starter = Starter(store.keys, connection, "w1", SystemClock(), self._refuse)

    def _refuse(self, job_id: str, what: StartedAs) -> None:
        self.refused.append((job_id, what))

    def begin(self, entry: Entry) -> Begun:
        return self.starter.begin(entry, "demo")


@asynccontextmanager
async def starting(store: Store, address: StoreAddress) -> AsyncIterator[Starting]:
    async with AsyncStoreConnection(address) as connection:
        opened = Starting(store, connection)
        async with in_background(opened.starter.run()):
            yield opened


async def all_late() -> None:
    """Until what has begun before is late, and was looked at."""
    await asyncio.sleep(2 * LATE_AFTER_S)


async def test_a_short_attempt_costs_no_start_record(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entries = [store.claimed() for _ in range(3)]
    with Switch(socket_path, address) as switch:
        async with starting(store, switch.address) as worker:
            for entry in entries:
                worker.begin(entry).is_ended = True
            await all_late()

            assert switch.round_trips == 0
    assert {store.state(entry.job_id) for entry in entries} == {JobState.QUEUED}


async def test_an_outage_does_not_move_the_start_of_what_began_before(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entry = store.claimed()
    with Switch(socket_path, address) as switch:
        async with starting(store, switch.address) as worker:
            switch.down()
            began_ms = store.now_ms()
            worker.begin(entry)
            await asyncio.sleep(OUTAGE_S)
            switch.up()
            await until(lambda: store.state(entry.job_id) is JobState.RUNNING)

    started_at = store.job(entry.job_id).started_at
    assert started_at is not None
    assert abs(started_at.timestamp() * 1000 - began_ms) < OUTAGE_S * 500


async def test_an_attempt_that_lasts_is_recorded_with_the_time_of_its_true_start(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    entry = store.claimed()
    began_ms = store.now_ms()
    async with starting(store, address) as worker:
        worker.begin(entry)
        await until(lambda: store.state(entry.job_id) is JobState.RUNNING)

    job = store.job(entry.job_id)
    assert (job.worker, job.attempt) == ("w1", 1)
    assert job.started_at is not None
    assert abs(job.started_at.timestamp() * 1000 - began_ms) < LATE_AFTER_S * 900


async def test_attempts_that_began_together_are_recorded_in_one_call(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    store.start(store.claimed())  # the server knows the script
    entries = [store.claimed() for _ in range(20)]
    with Switch(socket_path, address) as switch:
        async with starting(store, switch.address) as worker:
            for entry in entries:
                worker.begin(entry)
            await until(lambda: store.state(entries[-1].job_id) is JobState.RUNNING)

            assert switch.round_trips == 1
    assert {store.state(entry.job_id) for entry in entries} == {JobState.RUNNING}


async def test_an_attempt_whose_job_was_cancelled_or_taken_back_is_stopped(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    cancelled, lost, good = (store.claimed() for _ in range(3))
    store.run(cancel(store.keys, cancelled.job_id))
    store.run(requeue(store.keys, [lost], is_lost=True))
    async with starting(store, address) as worker:
        for entry in (cancelled, lost, good):
            worker.begin(entry)
        await until(lambda: store.state(good.job_id) is JobState.RUNNING)
        await until(lambda: len(worker.refused) == 2)

    assert worker.refused == [
        (cancelled.job_id, StartedAs.CANCELLED),
        (lost.job_id, StartedAs.STALE),
    ]
    assert store.state(lost.job_id) is JobState.QUEUED


async def test_an_attempt_that_ended_while_its_record_was_on_its_way_is_not_stopped(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entry = store.claimed()
    with Switch(socket_path, address) as switch:
        async with starting(store, switch.address) as worker:
            store.finish(entry)
            switch.hang()
            begun = worker.begin(entry)
            await until(lambda: switch.round_trips == 1)
            begun.is_ended = True

            switch.up()
            await all_late()

            assert worker.refused == []
    assert store.state(entry.job_id) is JobState.COMPLETED


async def test_a_late_record_does_not_bring_an_ended_job_back(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    entry = store.claimed()
    async with starting(store, address) as worker:
        worker.begin(entry)
        store.finish(entry)
        await until(lambda: bool(worker.refused))

    assert store.state(entry.job_id) is JobState.COMPLETED


async def test_an_eager_start_takes_the_lock_and_tells_who_has_it(
    store: Store, address: StoreAddress
) -> None:
    store.add_worker()
    first, second = store.claimed(), store.claimed()
    async with starting(store, address) as worker:
        what, token = await worker.starter.start_now(Start(first, "demo", lock=A_LOCK))
        refused = await worker.starter.start_now(Start(second, "demo", lock=A_LOCK))

    assert (what, int(token) > 0) == (StartedAs.STARTED, True)
    assert refused == (StartedAs.LOCKED, first.job_id)
    assert store.state(first.job_id) is JobState.RUNNING


async def test_a_start_whose_reply_was_lost_is_repeated_and_keeps_its_lock(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entry = store.claimed()
    lock = replace(A_LOCK, conflict="fail")
    with Switch(socket_path, address) as switch:
        async with starting(store, switch.address) as worker:
            switch.lose_reply()

            what, token = await worker.starter.start_now(Start(entry, "demo", lock=lock))

    assert what is StartedAs.STARTED
    assert store.record(entry.job_id)["lock_token"] == token


async def test_start_records_are_written_when_the_store_is_back(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entry = store.claimed()
    with Switch(socket_path, address) as switch:
        switch.down()
        async with starting(store, switch.address) as worker:
            worker.begin(entry)
            await all_late()
            assert store.state(entry.job_id) is JobState.QUEUED

            switch.up()

            await until(lambda: store.state(entry.job_id) is JobState.RUNNING)

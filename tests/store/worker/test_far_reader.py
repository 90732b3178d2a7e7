"""The reader of a store that is far away: two claims on their way, and each job begun once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobrunner.chaos.proxy import FaultProxy
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.requests import Request
from jobrunner.worker.reader import FAR_S, Reader
from tests.store.factories import QUEUES, Store
from tests.store.waiting import in_background, until
from tests.store.worker.test_reader import BLOCK, claimed, submit_many

pytestmark = pytest.mark.anyio
SLOTS = 8


class CountedConnection(AsyncStoreConnection):
    """Knows how many requests were on their way at a time."""

    under_way = most = 0

    async def execute(self, request: Request) -> Any:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await super().execute(request)
        finally:
            self.under_way -= 1


class Reading:
    """A reader whose jobs end as soon as they have begun, unless they are held."""

    def __init__(self, store: Store, connection: CountedConnection) -> None:
        self.connection = connection
        self.begun: list[str] = []
        self.is_holding = False
        self.reader = Reader(store.keys, connection, "w1", QUEUES, SLOTS, self._begin, block=BLOCK)

    def _begin(self, entry: Entry) -> None:
        self.begun.append(entry.job_id)
        if not self.is_holding:
            asyncio.get_running_loop().call_soon(self.reader.give_slot)


@asynccontextmanager
async def reading(store: Store, address: StoreAddress) -> AsyncIterator[Reading]:
    async with CountedConnection(address) as connection:
        opened = Reading(store, connection)
        async with in_background(opened.reader.run()):
            yield opened


@pytest.fixture
def far(store: Store, address: StoreAddress) -> Iterator[FaultProxy]:
    """The way to the store of a worker that is far away from it."""
    store.add_worker()
    with FaultProxy(address) as opened:
        opened.slow(5 * FAR_S)
        yield opened


async def test_two_claims_are_on_their_way_to_a_store_that_is_far(
    store: Store, far: FaultProxy
) -> None:
    async with reading(store, far.address) as worker:
        await until(lambda: worker.connection.under_way)  # it waits at the server
        jobs = submit_many(store, 10 * SLOTS)
        await until(lambda: len(worker.begun) == len(jobs))

    assert worker.connection.most == 2
    assert sorted(worker.begun) == sorted(jobs)


async def test_no_more_jobs_are_claimed_from_far_than_there_are_slots(
    store: Store, far: FaultProxy
) -> None:
    jobs = submit_many(store, 20 * SLOTS)
    async with reading(store, far.address) as worker:
        await until(lambda: len(worker.begun) > 4 * SLOTS)
        worker.is_holding = True
        before = len(worker.begun)
        await until(lambda: len(worker.begun) >= before + SLOTS)
        await asyncio.sleep(50 * FAR_S)  # more would have come by then

        held = len(worker.begun) - before
        assert claimed(store) == len(worker.begun) < len(jobs)
        assert held == SLOTS


async def test_what_was_claimed_ahead_is_begun_when_the_store_has_come_near(
    store: Store, far: FaultProxy
) -> None:
    jobs = submit_many(store, 20 * SLOTS)
    async with reading(store, far.address) as worker:
        await until(lambda: worker.connection.most == 2)
        far.slow(0)
        await until(lambda: len(worker.begun) == len(jobs))
        later = store.submit()
        await until(lambda: worker.begun[-1] == later)

    assert sorted(worker.begun) == sorted([*jobs, later])


async def test_lost_replies_of_two_claims_cost_no_job_and_begin_none_twice(
    store: Store, far: FaultProxy
) -> None:
    jobs = submit_many(store, 40 * SLOTS)
    async with reading(store, far.address) as worker:
        for number in range(1, 5):
            while len(worker.begun) < number * 5 * SLOTS:
                await asyncio.sleep(FAR_S)
            far.lose_replies(2)
        await until(lambda: len(worker.begun) >= len(jobs))

    assert sorted(worker.begun) == sorted(jobs)


async def test_a_job_for_others_ends_the_claims_ahead(store: Store, far: FaultProxy) -> None:
    jobs = submit_many(store, 20 * SLOTS)
    async with reading(store, far.address) as worker:
        await until(lambda: worker.connection.most == 2)

        worker.reader.hold_back()

        await until(lambda: claimed(store) == len(worker.begun) and not worker.connection.under_way)
        begun = len(worker.begun)
        worker.connection.most = 0
        await until(lambda: len(worker.begun) > begun)
        assert worker.connection.most == 1
        assert len(jobs) > len(worker.begun) == begun + 1


async def test_what_was_handed_out_after_the_last_job_was_begun_is_given_back(
    store: Store, far: FaultProxy
) -> None:
    submit_many(store, 200 * SLOTS)
    async with CountedConnection(far.address) as connection:
        worker = Reading(store, connection)
        async with in_background(worker.reader.run()):
            await until(lambda: worker.begun and connection.under_way == 2)

        await worker.reader.give_back_unbegun()

    assert claimed(store) == len(worker.begun)

"""Cancel requests on their way to a worker, and writing to a store that is away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobrunner import log
from jobrunner.store.address import StoreAddress
from jobrunner.store.cancelling import cancel
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation
from jobrunner.worker.control import obey
from jobrunner.worker.outage import until_done
from tests.store.factories import Store
from tests.store.switch import Switch
from tests.store.waiting import in_background, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def obeying(address: StoreAddress) -> AsyncIterator[list[str]]:
    """The jobs that the worker is told to cancel, as they come."""
    cancelled: list[str] = []
    connection = AsyncStoreConnection(address)
    async with (
        connection,
        in_background(obey(Keys(address.name), connection, "w1", cancelled.append)),
    ):
        yield cancelled


async def test_a_cancel_request_is_obeyed_at_once(store: Store, address: StoreAddress) -> None:
    store.add_worker()
    entry = store.running()
    async with obeying(address) as cancelled:
        await asyncio.sleep(0.02)
        store.run(cancel(store.keys, entry.job_id))

        await until(lambda: cancelled == [entry.job_id], within=0.5)


async def test_a_request_that_came_during_an_outage_is_obeyed_after_it(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    store.add_worker()
    entry = store.running()
    with Switch(socket_path, address) as switch:
        async with obeying(switch.address) as cancelled:
            await asyncio.sleep(0.02)
            switch.down()
            await asyncio.sleep(0.03)
            store.run(cancel(store.keys, entry.job_id))
            assert cancelled == []

            switch.up()

            await until(lambda: cancelled == [entry.job_id])


async def test_requests_for_other_workers_are_theirs(store: Store, address: StoreAddress) -> None:
    store.add_worker("w2")
    entry = store.running("w2")
    async with obeying(address) as cancelled:
        store.run(cancel(store.keys, entry.job_id))
        await asyncio.sleep(0.02)

    assert cancelled == []
    assert store.texts("LRANGE", store.keys.control("w2"), 0, -1) == [entry.job_id]


async def test_an_idle_worker_asks_for_requests_once_in_five_seconds(
    store: Store, address: StoreAddress, socket_path: str
) -> None:
    with Switch(socket_path, address) as switch:
        async with obeying(switch.address):
            await asyncio.sleep(0.2)

            assert switch.round_trips == 1


def add_one(keys: Keys) -> Operation[int]:
    number: int = yield Command(("INCR", keys.tokens()))
    return number


async def test_a_write_is_tried_until_the_store_is_back(
    store: Store,
    address: StoreAddress,
    socket_path: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, log.LOGGER)
    with Switch(socket_path, address) as switch:
        switch.down()
        async with AsyncStoreConnection(switch.address) as connection:
            write = asyncio.create_task(until_done(connection, lambda: add_one(store.keys), "add"))
            await asyncio.sleep(0.1)
            assert not write.done()

            switch.up()

            assert await write == 1
    events = [record.getMessage() for record in caplog.records]
    assert events == ["could not add; it is tried again", "could add again"]


async def test_a_mistake_of_ours_is_not_tried_again(
    store: Store, async_connection: AsyncStoreConnection
) -> None:
    store.command("SET", store.keys.tokens(), "no number")

    with pytest.raises(ReplyError):
        await until_done(async_connection, lambda: add_one(store.keys), "add")
    store.command("DEL", store.keys.tokens())

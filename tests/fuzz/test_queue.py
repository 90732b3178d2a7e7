"""Garbage in a queue, read by a real reader and performer: on record, and out of the way."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import event, given

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import JobState
from jobrunner.store.address import StoreAddress
from jobrunner.store.attempts import Entry, ensure_groups, entry_of
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.unreadable import TASK
from jobrunner.worker.reader import Reader
from tests.fuzz import damage as damaging
from tests.fuzz.extent import tries
from tests.fuzz.namespaces import declared_store
from tests.store.factories import QUEUES, Store
from tests.store.waiting import in_background, until
from tests.store.worker.performing import performing

GOOD = {"task": "add", "message": message.encode(Message("add", {"a": 1}))}


@tries(12, 400)
@given(entries=damaging.entries)
def test_garbage_in_a_queue_is_on_record_and_harms_no_neighbour(
    store_socket: str, entries: Sequence[list[bytes]]
) -> None:
    with declared_store(StoreAddress("fuzz", socket=store_socket), is_ended=True) as store:
        before = store.submit(id="before", **GOOD)
        damaging.add_entries(store, entries)
        after = store.submit(id="after", **GOOD)

        asyncio.run(worked_off(store))

        unreadable = [fields for fields in entries if not is_an_entry(fields)]
        event(f"{min(len(unreadable), 5)} unreadable")
        assert {store.state(before), store.state(after)} == {JobState.COMPLETED}
        assert len(recorded(store)) == len(unreadable)
        assert store.state("good") is JobState.COMPLETED


def is_an_entry(fields: list[bytes]) -> bool:
    return isinstance(entry_of("1-1", "default", "normal", fields), Entry)


def recorded(store: Store) -> list[str]:
    """The records of what could not be read."""
    return store.texts("ZRANGE", store.keys.task_done(TASK), 0, -1)


async def worked_off(store: Store) -> None:
    """Until nothing is left in the queue."""
    store.run(ensure_groups(store.keys, QUEUES))
    async with (
        performing(store, store.connection.address) as worker,
        AsyncStoreConnection(store.connection.address) as connection,
    ):
        reader = Reader(
            store.keys, connection, "w1", QUEUES, 1000, worker.performer.begin, timedelta(seconds=1)
        )
        worker.last = "good"  # whose state the harness reads as slots are given back
        async with in_background(reader.run()):
            await until(lambda: store.command("XLEN", store.keys.queue("default", "normal")) == 0)
            await worker.ended()

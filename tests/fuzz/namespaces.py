"""A namespace as a daemon leaves it, thrown away after the block."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.factories import Store

TASK = PublishedTask(
    "backup",
    "command",
    description="Dump the database",
    params=[
        ParamSpec("day", ParamType.DATE, default="today", required=False),
        ParamSpec("n", ParamType.INTEGER, required=False),
        ParamSpec("token", secret=True, required=False),
    ],
)
CRON = PublishedCron("nightly", "backup", "0 2 * * *", "daily at 02:00", "Europe/Berlin")


@contextmanager
def declared_store(address: StoreAddress, *, is_ended: bool) -> Iterator[Store]:
    """One task, one cron; jobs in every state, or ended ones only."""
    with StoreConnection(replace(address, name=uuid4().hex[:12])) as connection:
        store = Store(Keys(connection.address.name), connection)
        store.run(publish(store.keys, Published({"backup": TASK}, {"nightly": CRON}, True)))
        store.add_worker()
        store.finished(task="backup", id="good")
        store.finished(task="backup", id="job1")
        if not is_ended:
            store.running(task="backup", id="job2")
            store.submit(task="backup", id="job3")
        store.command("DEL", store.keys.last_job())
        yield store

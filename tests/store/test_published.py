"""What the daemon publishes for clients."""

from jobrunner.model import Priority
from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.published import (
    Published,
    PublishedCron,
    PublishedTask,
    publish,
    read_published,
    read_published_task,
)
from tests.store.factories import Store

BACKUP = PublishedTask(
    name="backup",
    kind="command",
    description="Dump the shop database",
    params=[ParamSpec("day", ParamType.DATE, required=False)],
    priority=Priority.HIGH,
    lock="backup-{day}",
)
NIGHTLY = PublishedCron("nightly", "backup", "0 2 * * *", "daily at 02:00", "Europe/Berlin")


def test_what_was_published_is_read_back(store: Store) -> None:
    published = Published({"backup": BACKUP}, {"nightly": NIGHTLY}, allows_adhoc=True)

    store.run(publish(store.keys, published))

    assert store.run(read_published(store.keys)) == published
    assert store.run(read_published_task(store.keys, "backup")) == BACKUP


def test_a_reload_replaces_everything(store: Store) -> None:
    store.run(publish(store.keys, Published({"backup": BACKUP}, {"nightly": NIGHTLY}, True)))

    store.run(publish(store.keys, Published({}, {})))

    assert store.run(read_published(store.keys)) == Published({}, {})
    assert store.run(read_published_task(store.keys, "backup")) is None


def test_a_manifest_of_more_tasks_than_one_command_takes_is_published_whole(store: Store) -> None:
    names = [f"task{number}" for number in range(4500)]
    published = Published({name: PublishedTask(name, "command") for name in names}, {})

    store.run(publish(store.keys, published))

    assert store.run(read_published(store.keys)) == published


def test_before_the_first_daemon_nothing_is_published(store: Store) -> None:
    assert store.run(read_published(store.keys)) == Published({}, {})

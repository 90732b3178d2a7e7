"""The whole CLI in process, on a real server: what is in the store is what it shows."""

from pathlib import Path

import pytest

from jobrunner.params import ParamSpec, ParamType
from jobrunner.store.address import StoreAddress
from jobrunner.store.published import Published, PublishedCron, PublishedTask, publish
from tests.store.factories import Store
from tests.unit.cli.conftest import Invoke, make_invoke


@pytest.fixture
def invoke(tmp_path: Path, address: StoreAddress) -> Invoke:
    """Run a command line in a folder whose manifest names the test's namespace."""
    (tmp_path / "jobs.yaml").write_text(
        f"name: '{address.name}'\nstore: {{url: 'unix://{address.socket}'}}\n"
    )
    return make_invoke(tmp_path)


@pytest.fixture
def store(store: Store) -> Store:
    """A fresh namespace with a worker."""
    store.add_worker()
    return store


@pytest.fixture
def declared(store: Store) -> Store:
    """The namespace as a daemon leaves it: one task with parameters, and its cron."""
    params = [
        ParamSpec("day", ParamType.DATE, default="today", required=False),
        ParamSpec("token", secret=True, required=False),
    ]
    task = PublishedTask("backup", "command", description="Dump the database", params=params)
    cron = PublishedCron(
        "nightly",
        "backup",
        "0 2 * * *",
        "daily at 02:00",
        "Europe/Berlin",
        params={"day": "2026-11-20"},
    )
    store.run(publish(store.keys, Published({"backup": task}, {"nightly": cron})))
    return store

"""What a small job costs in the memory of the embedded server."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner import message
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.message import Message
from jobrunner.store.attempts import finish
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.submission import submit
from tests.store.factories import Store

JOBS = 2000
MESSAGE = message.encode(
    Message("resize", {"path": "/var/lib/photos/000123.jpg", "width": 200, "fit": "crop"})
)
RESULT = b'{"bytes":182773}'


@pytest.fixture
def embedded() -> Iterator[Store]:
    """A namespace on an embedded server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="jr-test-"))  # pytest's own are too long for a socket
    server = EmbeddedServer(folder, "everysec")
    server.ensure()
    with StoreConnection(server.address("test")) as connection:
        yield Store(Keys("test"), connection, queues=("default",))
    server.stop()
    shutil.rmtree(folder)


def used(store: Store) -> int:
    """Bytes of all keys and values."""
    names = store.texts("KEYS", store.keys.all())
    return sum(store.command("MEMORY", "USAGE", name, "SAMPLES", 0) for name in names)


def test_a_small_job_takes_700_bytes_in_a_queue_and_600_when_it_has_ended(embedded: Store) -> None:
    embedded.add_worker()
    submissions = [
        embedded.submission(id=f"{number:012}", task="resize", message=MESSAGE)
        for number in range(JOBS)
    ]
    embedded.run(submit(embedded.keys, submissions))
    queued = used(embedded)

    while entries := embedded.claim(free=500):
        ends = [embedded.end(entry, task="resize", result=RESULT) for entry in entries]
        embedded.run(finish(embedded.keys, "w1", ends))

    assert queued / JOBS < 700
    assert used(embedded) / JOBS < 600

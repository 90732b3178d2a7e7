"""One real server for all tests of a session; a namespace of its own for each test."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from jobrunner.embedded.binary import bundled_binary
from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command
from tests.store.factories import Store, check_indexes


@pytest.fixture(scope="session")
def store_socket() -> Iterator[str]:
    """Path of the socket of a server that lives as long as the session."""
    folder = Path(tempfile.mkdtemp(prefix="jr-test-"))  # pytest's own are too long for a socket
    path = str(folder / "s")
    binary = bundled_binary()
    assert binary is not None
    server = subprocess.Popen(
        [binary, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    _wait_until_it_answers(path)
    yield path
    server.kill()
    server.wait()
    shutil.rmtree(folder)


def _wait_until_it_answers(path: str) -> None:
    give_up_at = time.monotonic() + 10
    with StoreConnection(StoreAddress("test", socket=path)) as connection:
        while True:
            try:
                connection.execute(Command(("PING",)))
            except StoreUnavailable:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.01)
            else:
                return


@pytest.fixture
def socket_path() -> Iterator[str]:
    """Where a test's own server may listen."""
    with tempfile.TemporaryDirectory(prefix="jr-test-") as folder:
        yield f"{folder}/s"


@pytest.fixture
def address(store_socket: str) -> StoreAddress:
    """A fresh namespace on the session's server."""
    return StoreAddress(uuid4().hex[:12], socket=store_socket)


@pytest.fixture
def keys(address: StoreAddress) -> Keys:
    return Keys(address.name)


@pytest.fixture
def connection(address: StoreAddress) -> Iterator[StoreConnection]:
    with StoreConnection(address) as opened:
        yield opened


@pytest.fixture
async def async_connection(address: StoreAddress) -> AsyncIterator[AsyncStoreConnection]:
    async with AsyncStoreConnection(address) as opened:
        yield opened


@pytest.fixture
def store(keys: Keys, connection: StoreConnection) -> Iterator[Store]:
    """A fresh namespace; after the test its indexes are held against its records."""
    opened = Store(keys, connection)
    yield opened
    check_indexes(opened)

"""The proxy stands before a server; daemons go through it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobrunner.chaos.proxy import FaultProxy
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from tests.chaos.clients import TIMEOUT_S, Client
from tests.chaos.trial import Trial
from tests.daemon.conftest import cleanup, project, server
from tests.store.conftest import address, connection, keys, socket_path, store_socket

__all__ = [
    "address",
    "cleanup",
    "connection",
    "keys",
    "project",
    "server",
    "socket_path",
    "store_socket",
]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """Judges histories."""
    return Trial(tmp_path / "history")


@pytest.fixture
def proxy(address: StoreAddress) -> Iterator[FaultProxy]:
    with FaultProxy(address) as opened:
        yield opened


@pytest.fixture
def key(keys: Keys) -> str:
    """A key of the test's own."""
    return keys.job("proxy")


@pytest.fixture
def through(proxy: FaultProxy) -> Iterator[StoreConnection]:
    """A connection through the proxy, with a short timeout."""
    with StoreConnection(proxy.address, TIMEOUT_S) as opened:
        yield opened


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Callable[..., Client]]:
    """Makes clients in processes of their own."""
    with ExitStack() as started:

        def make(*commands: str) -> Client:
            made = Client(proxy.address, *commands)
            started.callback(made.close)
            return made

        yield make

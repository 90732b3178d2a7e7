"""Fixtures of the scheduler's tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from jobrunner.store.address import StoreAddress
from tests.clock import START, FakeClock
from tests.store.clocked import ClockedConnection
from tests.store.factories import Store
from tests.store.scheduler.scheduling import Daemon, a_daemon


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def connection(address: StoreAddress, clock: FakeClock) -> Iterator[ClockedConnection]:
    """For it, too, the store's clock is the test's."""
    with ClockedConnection(address, clock.now) as opened:
        yield opened


@pytest.fixture
async def daemon(store: Store, address: StoreAddress, clock: FakeClock) -> AsyncIterator[Daemon]:
    """A scheduler without crons so far."""
    async with a_daemon(address, clock) as opened:
        yield opened

"""Fixtures of the scheduler's tests."""

from collections.abc import AsyncIterator

import pytest

from jobrunner.store.address import StoreAddress
from tests.clock import START, FakeClock
from tests.store.factories import Store
from tests.store.scheduler.scheduling import Daemon, a_daemon


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
async def daemon(store: Store, address: StoreAddress, clock: FakeClock) -> AsyncIterator[Daemon]:
    """A scheduler without crons so far."""
    async with a_daemon(address, clock) as opened:
        yield opened

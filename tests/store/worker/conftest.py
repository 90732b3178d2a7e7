"""Fixtures of the worker's tests."""

from collections.abc import AsyncIterator

import pytest

from jobrunner.store.address import StoreAddress
from tests.store.factories import Store
from tests.store.worker.performing import Performing, performing


@pytest.fixture
async def worker(store: Store, address: StoreAddress) -> AsyncIterator[Performing]:
    async with performing(store, address) as opened:
        yield opened

"""The synchronous and the asynchronous connection behind one face, for rules that hold for both."""

import asyncio
from collections.abc import Callable

import pytest

from jobrunner.errors import StoreUnavailable
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import AsyncStoreConnection, StoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.requests import Command, Request

PING = Command(("PING",))
CLIENT_ID = Command(("CLIENT", "ID"))


def run_async(address: StoreAddress, requests: list[Request]) -> list[object]:
    """Each reply or error, from one asynchronous connection."""

    async def perform() -> list[object]:
        async with AsyncStoreConnection(address) as connection:
            calls = [connection.execute(request) for request in requests]
            return list(await asyncio.gather(*calls, return_exceptions=True))

    return asyncio.run(perform())


def run_sync(address: StoreAddress, requests: list[Request]) -> list[object]:
    """The same from a synchronous one."""
    replies: list[object] = []
    with StoreConnection(address) as connection:
        for request in requests:
            try:
                replies.append(connection.execute(request))
            except (StoreUnavailable, ReplyError) as error:
                replies.append(error)
    return replies


both_kinds = pytest.mark.parametrize("run", [run_sync, run_async])
Run = Callable[[StoreAddress, list[Request]], list[object]]


def failure(run: Run, address: StoreAddress, request: Request = PING) -> StoreUnavailable:
    [error] = run(address, [request])
    assert isinstance(error, StoreUnavailable)
    return error

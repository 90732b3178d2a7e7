"""Writing to a store that may be away: try until it is done."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.store.backoff import Backoff
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.requests import Operation

T = TypeVar("T")


async def until_done(
    connection: AsyncStoreConnection, operation: Callable[[], Operation[T]], what: str
) -> T:
    """Perform an operation, again after each outage; it must be safe to repeat."""
    backoff = Backoff()
    outages = 0
    while True:
        try:
            result = await connection.run(operation())
        except StoreUnavailable as error:
            outages += 1
            if outages == 1:
                EventLog().warning(f"could not {what}; it is tried again", error=error)
            await asyncio.sleep(backoff.next_delay())
        else:
            if outages:
                EventLog().info(f"could {what} again", tries=outages + 1)
            return result

"""Takes cancel requests from the worker's control list as they come.

A list, since it survives a reconnect. Whatever is missed here all the same is found by the
heartbeat in the set of unanswered requests.
"""

import asyncio
from collections.abc import Callable

from jobrunner.errors import StoreUnavailable
from jobrunner.store.backoff import Backoff
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import told
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command

BLOCK_S = 5


async def obey(
    keys: Keys, connection: AsyncStoreConnection, worker: str, cancel: Callable[[str], None]
) -> None:
    """Call `cancel` with each job id that is requested, until cancelled."""
    backoff = Backoff()
    request = Command(("BLPOP", keys.control(worker), BLOCK_S), block_ms=BLOCK_S * 1000)
    while True:
        try:
            reply = await connection.execute(request)
        except StoreUnavailable:
            await asyncio.sleep(backoff.next_delay())
            continue
        except ReplyError as error:
            told.tell_error("take cancel requests", error)
            await asyncio.sleep(BLOCK_S)
            continue
        backoff.reset()
        if reply is not None:
            cancel(reply[1].decode(errors="replace"))

"""Claims queued jobs for free slots, higher priorities first.

Reads never more than there are free slots, so no job waits in a busy process while another is
idle. A first try takes what is there; only when nothing is, it waits at the server.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.policy import fair_share
from jobrunner.store.attempts import (
    Entry,
    Unreadable,
    claim,
    claim_next,
    ensure_groups,
    requeue,
)
from jobrunner.store.backoff import Backoff
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.unreadable import refuse_unreadable


class Reader:
    """The loop that claims; `begin` is called for each job."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        worker: str,
        queues: Sequence[str],
        slots: int,
        begin: Callable[[Entry], None],
        block: timedelta,
    ) -> None:
        """`block` bounds an idle read. It must be shorter than what is left of a lease between two
        renewals: else the read of a worker that hangs could still be given jobs after its rescue.
        """
        self._keys = keys
        self._connection = connection
        self._worker = worker
        self._queues = queues
        self._free = slots
        self._begin = begin
        self._block_ms = block // timedelta(milliseconds=1)
        self._has_free = asyncio.Event()
        self._has_free.set()
        self._claimed = 0
        self._backoff = Backoff()

    def give_slot(self) -> None:
        """An attempt has ended."""
        self._free += 1
        self._has_free.set()

    async def run(self) -> None:
        """Claim until cancelled, or until the lease has ended."""
        while True:
            if self._free <= 0:
                self._has_free.clear()
                await self._has_free.wait()
            try:
                is_alive = await self._claim_some()
            except StoreUnavailable as error:
                EventLog().warning("could not claim jobs", worker=self._worker, error=error)
                await asyncio.sleep(self._backoff.next_delay())
            except ReplyError as error:
                if error.code != "NOGROUP":
                    raise
                # The server lost its data (FLUSHALL, a new server): begin anew.
                await self._connection.run(ensure_groups(self._keys, self._queues))
            else:
                self._backoff.reset()
                if not is_alive:
                    return

    async def _claim_some(self) -> bool:
        """Begin what could be claimed; false when the lease has ended."""
        entries = await self._connection.run(
            claim(
                self._keys,
                self._worker,
                self._queues,
                self._free,
                fair_share=fair_share(self._free, self._claimed),
                rotation=self._claimed % max(1, len(self._queues)),
            )
        )
        if entries is None:
            return False
        if not entries:
            entries = await self._connection.run(
                claim_next(self._keys, self._worker, self._queues, self._block_ms)
            )
        await self._take(entries)
        return True

    async def _take(self, found: Sequence[Entry | Unreadable]) -> None:
        self._claimed += len(found)
        damaged = [item for item in found if isinstance(item, Unreadable)]
        entries = [item for item in found if isinstance(item, Entry)]
        # The waiting read may bring one job per queue and level, more than there are slots.
        surplus = entries[self._free :]
        for entry in entries[: self._free]:
            self._free -= 1
            self._begin(entry)
        if damaged:
            await self._connection.run(refuse_unreadable(self._keys, self._worker, damaged))
        if surplus:
            await self._connection.run(requeue(self._keys, surplus, is_lost=False))

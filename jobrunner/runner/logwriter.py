"""Writes the output of all attempts of a worker: one round trip at a time, for whoever has some.

While a write is on its way, output gathers in the attempts; so the busier the store, the larger and
fewer the writes. When the store is away, attempts keep what their cap allows and go on.
"""

import asyncio
from datetime import timedelta
from typing import Protocol, TypeVar

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.runner.output import Held, Output
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.logs import append_chunks
from jobrunner.store.requests import Operation

T = TypeVar("T")
RETRY_AFTER_S = 0.5  # while the store is away
BATCH_BYTES = 1 << 20  # per round trip
MOST_KEPT = 64 << 20  # bytes of output that a worker keeps for a store that takes none


class Performer(Protocol):
    """A connection to the store."""

    async def run(self, operation: Operation[T]) -> T: ...


class LogWriter:
    """The sink of a worker's attempts; `run` writes until `close`."""

    def __init__(self, connection: Performer, keys: Keys, life: timedelta, clock: Clock) -> None:
        self.is_away = False
        self._connection = connection
        self._keys = keys
        self._life = life  # of a log after its last line: retention.logs
        self._clock = clock
        self._waiting: dict[Output, None] = {}  # in the order of their waking
        self._woken = asyncio.Event()
        self._closing = asyncio.Event()

    def wake(self, output: Output) -> None:
        """Note that an output has something to write."""
        if output not in self._waiting or output.due_at() == 0:
            self._waiting[output] = None
            self._woken.set()

    async def run(self) -> None:
        """Write what comes, until `close`, and then what is left."""
        while not self._closing.is_set() or (self._waiting and not self.is_away):
            await self._pause(await self.tick())
        if self._waiting:
            EventLog().error("lost output: the store was away at the end", jobs=len(self._waiting))

    def close(self) -> None:
        """Let `run` write what is left and return; it gives up at once when the store is away."""
        self._closing.set()
        self._woken.set()

    async def tick(self) -> float | None:
        """Write once what is due; returns seconds to the next, None when nothing waits."""
        self._woken.clear()
        batch = self._take_due()
        if batch and not await self._write(batch):
            return RETRY_AFTER_S
        if self._closing.is_set():
            return 0
        if not self._waiting:
            return None
        return max(min(output.due_at() for output in self._waiting) - self._clock.monotonic(), 0)

    async def _pause(self, seconds: float | None) -> None:
        # New output does not hurry a store that is away; the end of the worker does.
        event = self._closing if self.is_away else self._woken
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return

    def _take_due(self) -> list[tuple[Output, Held]]:
        now = self._clock.monotonic()
        batch: list[tuple[Output, Held]] = []
        size = 0
        for output in list(self._waiting):
            if output.due_at() > now and not self._closing.is_set():
                continue
            taken = output.take()
            batch += [(output, held) for held in taken]
            size += sum(held.chunk.size for held in taken)
            # At the end of the line, so that the others have their turn before its next part.
            del self._waiting[output]
            if output.has_more:
                self._waiting[output] = None
            if size >= BATCH_BYTES:
                break
        return batch

    async def _write(self, batch: list[tuple[Output, Held]]) -> bool:
        appends = [output.append_of(held) for output, held in batch]
        try:
            ids = await self._connection.run(append_chunks(self._keys, appends, self._life))
        except StoreUnavailable as error:
            self._keep(batch, error)
            return False
        except ReplyError:
            # One key of a wrong type must not silence all jobs: lose this batch, and say so.
            EventLog().error("lost output: the store refused it", exc_info=True, chunks=len(batch))
            ids = [""] * len(batch)
        self.is_away = False
        for (output, held), entry_id in zip(batch, ids, strict=True):
            output.sent(held, entry_id)
        return True

    def _keep(self, batch: list[tuple[Output, Held]], error: StoreUnavailable) -> None:
        if not self.is_away:
            EventLog().warning("kept output until the store is back", error=error)
        self.is_away = True
        for output, held in batch:
            output.unsent(held)
            self._waiting[output] = None
        self._bound_kept()

    def _bound_kept(self) -> None:
        """Give up the oldest output of jobs that have ended: there may be any number of them."""
        kept = sum(output.kept_size for output in self._waiting)
        given_up = 0
        for output in list(self._waiting):
            if kept <= MOST_KEPT:
                break
            freed = output.give_up()
            kept -= freed
            given_up += freed > 0
            if not output.has_more:
                del self._waiting[output]
        if given_up:
            EventLog().error("lost output: the store takes none", jobs=given_up)

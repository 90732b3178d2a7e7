"""Writes the ends of attempts: one script call for all that ended since the last call.

The batch adapts by itself: one when idle, hundreds under load, never a timer. Results are kept
while the store is away. A repeated call is safe: what was written before is refused as stale.
"""

import asyncio
from collections.abc import Awaitable, Callable

from jobrunner.log import EventLog
from jobrunner.model import JobState
from jobrunner.store.attempts import Finish, Finished, finish
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import FIX
from jobrunner.store.due import promote
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import Keys
from jobrunner.store.requests import LARGEST_CALL, portions
from jobrunner.worker.outage import until_done

LARGEST_BATCH = 300  # ends per call: about 5 ms of the server's time
MOST_UNWRITTEN = 2 * LARGEST_BATCH  # one call is made while another is under way
MOST_UNWRITTEN_BYTES = 4 * LARGEST_CALL


class Finisher:
    """Takes ends and writes them in order of arrival."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        worker: str,
        on_saved: Callable[[list[str]], Awaitable[None]],
    ) -> None:
        """`on_saved` is told the ids of the jobs whose ends one call has written."""
        self._keys = keys
        self._connection = connection
        self._worker = worker
        self._ends: list[Finish] = []
        self._bytes = 0  # of the results that wait
        self._on_saved = on_saved
        self._has_ends = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def add(self, end: Finish) -> None:
        """Write this end with the next call."""
        self._ends.append(end)
        self._bytes += _size(end)
        self._has_ends.set()
        self._is_idle.clear()
        if not self._is_roomy():
            self._has_room.clear()

    async def write_now(self, end: Finish) -> None:
        """Write one end by itself, for tasks with `ack: each`."""
        await self._write([end])

    async def wait_idle(self) -> None:
        """Return when everything added so far is written."""
        await self._is_idle.wait()

    async def wait_for_room(self) -> None:
        """Return when so few ends wait that more jobs may be begun.

        Those of a worker that is killed run again: they must not become many with the slots.
        """
        await self._has_room.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._has_ends.wait()
            await self._write(self._take_batch())
            if self._is_roomy():
                self._has_room.set()
            if not self._ends:
                self._has_ends.clear()
                self._is_idle.set()

    def _is_roomy(self) -> bool:
        return len(self._ends) < MOST_UNWRITTEN and self._bytes < MOST_UNWRITTEN_BYTES

    def _take_batch(self) -> list[Finish]:
        batch = next(portions(self._ends[:LARGEST_BATCH], _size, LARGEST_BATCH))
        self._ends = self._ends[len(batch) :]
        self._bytes -= sum(map(_size, batch))
        return list(batch)

    async def _write(self, batch: list[Finish]) -> None:
        try:
            finished = await until_done(
                self._connection,
                lambda: finish(self._keys, self._worker, batch),
                "write finished jobs",
            )
        except ReplyError as error:
            await self._write_apart(batch, error)
            return
        self._log(batch, finished)
        if finished.woken:
            await until_done(
                self._connection, lambda: promote(self._keys, finished.woken), "wake waiting jobs"
            )
        pairs = zip(batch, finished.states, strict=True)
        await self._on_saved([end.entry.job_id for end, state in pairs if state is not None])

    async def _write_apart(self, batch: list[Finish], error: ReplyError) -> None:
        """One by one: an end that the store cannot take for damage must not cost the others."""
        if len(batch) > 1:
            for end in batch:
                await self._write([end])
            return
        EventLog().error(
            "lost the end of a job", job_id=batch[0].entry.job_id, error=error, fix=FIX
        )

    def _log(self, batch: list[Finish], finished: Finished) -> None:
        log = EventLog()
        for end, state in zip(batch, finished.states, strict=True):
            job_id, attempt = end.entry.job_id, end.entry.attempt
            if state is None:
                log.warning("refused a late finish", job_id=job_id, task=end.task, attempt=attempt)
            elif state is JobState.FAILED or state is JobState.SCHEDULED:
                log.info(
                    "failed an attempt" if state is JobState.SCHEDULED else "failed job",
                    job_id=job_id,
                    task=end.task,
                    attempt=attempt,
                    reason=end.reason,
                )


def _size(end: Finish) -> int:
    return len(end.result)

"""Writes start records: at once for jobs that need it, late for jobs that turn out to last.

A start record costs as much as the whole rest of a short job, and the pending list says already
who has it. So it is written for attempts that still go on after `LATE_AFTER_S`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from jobrunner.clock import Clock
from jobrunner.store.attempts import Entry, Start, StartedAs, start
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import passing_over
from jobrunner.store.keys import Keys
from jobrunner.worker.outage import until_done

LATE_AFTER_S = 0.04  # under what a person notices; above almost every short job
LOOK_EVERY_S = 0.01  # at most: jobs that begin in a row shall not each have a look of their own


@dataclass(slots=True)
class Begun:
    """An attempt without a start record; whoever ends it sets `is_ended`."""

    entry: Entry
    task: str
    began_at: float  # monotonic
    is_ended: bool = False


class Starter:
    """Keeps the attempts that have no start record yet."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        worker: str,
        clock: Clock,
        refuse: Callable[[str, StartedAs], None],
    ) -> None:
        self._keys = keys
        self._connection = connection
        self._worker = worker
        self._clock = clock
        self._refuse = refuse  # job id, and why its attempt has to stop
        self._begun: deque[Begun] = deque()
        self._has_begun = asyncio.Event()

    async def start_now(self, item: Start) -> tuple[StartedAs, str]:
        """Write one start record, and take the job's lock."""
        replies = await until_done(
            self._connection,
            lambda: start(self._keys, self._worker, [item]),
            "write a start record",
        )
        return replies[0]

    def begin(self, entry: Entry, task: str) -> Begun:
        """An attempt begins whose record can wait."""
        begun = Begun(entry, task, self._clock.monotonic())
        self._begun.append(begun)
        self._has_begun.set()
        return begun

    async def run(self) -> None:
        """Write late start records until cancelled."""
        while True:
            await self._has_begun.wait()
            pause = self._begun[0].began_at + LATE_AFTER_S - self._clock.monotonic()
            await asyncio.sleep(max(pause, LOOK_EVERY_S))
            late = self._take_late()
            if late:
                with passing_over("write start records"):
                    await self._write(late)
            if not self._begun:
                self._has_begun.clear()

    def _take_late(self) -> list[Begun]:
        # What would be late before the next look goes with what is late now.
        limit = self._clock.monotonic() - LATE_AFTER_S + LOOK_EVERY_S
        late = []
        while self._begun and (self._begun[0].is_ended or self._begun[0].began_at <= limit):
            item = self._begun.popleft()
            if not item.is_ended:
                late.append(item)
        return late

    async def _write(self, late: list[Begun]) -> None:
        # Anew for each try: how long ago they began counts from when the store is there.
        replies = await until_done(
            self._connection,
            lambda: start(self._keys, self._worker, self._starts(late)),
            "write start records",
        )
        for item, (what, _) in zip(late, replies, strict=True):
            # It may have ended, and its end been written, while this call was on its way.
            if what is not StartedAs.STARTED and not item.is_ended:
                self._refuse(item.entry.job_id, what)

    def _starts(self, late: list[Begun]) -> list[Start]:
        now = self._clock.monotonic()
        return [Start(i.entry, i.task, round((now - i.began_at) * 1000)) for i in late]

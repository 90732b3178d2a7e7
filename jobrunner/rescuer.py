"""The rescuer's loop: what dead workers had claimed goes back to the queues.

A worker is dead when its lease has ended or its supervisor saw it die; never for being slow. The
order is: bury (it cannot renew any more), kill whatever it left on this host, then requeue; what a
worker left that was seen to die is killed first of all. A job whose attempts were lost `max_lost`
times is failed instead: it may be what kills its workers. A worker whose daemon was told to stop
may be killed by a platform that waits no longer: that is no loss, unless it is seen to have crashed
by itself. Any number of rescuers may work on the
same worker: each entry's ack succeeds once. One that is killed half-way leaves entries of a worker
without a lease, which the next tick finds.
"""

import asyncio
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.model import Job, JobError, JobState, Reason
from jobrunner.runner.leftovers import Leftovers, Ours, kill_leftovers
from jobrunner.runner.results import discard_results
from jobrunner.runner.secretfiles import discard_secrets
from jobrunner.store.attempts import (
    Entry,
    Finish,
    HeldLock,
    Requeued,
    Unreadable,
    finish,
    requeue,
)
from jobrunner.store.backoff import Backoff
from jobrunner.store.cancelling import cancel_unclaimed
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import passing_over
from jobrunner.store.due import promote
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LEASE_TTL, MARGIN, RENEW_EVERY, read_worker
from jobrunner.store.locks import wake_free_locks
from jobrunner.store.records import ROW, read_parts
from jobrunner.store.requests import Operation
from jobrunner.store.rescue import (
    Orphan,
    find_orphans,
    forget_worker,
    known_queues,
    read_claimed,
)
from jobrunner.store.unreadable import refuse_unreadable

DEFAULT_MAX_LOST = 3  # for tasks that this daemon's manifest does not have


class Rescuer:
    """Takes back the jobs of dead workers."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        clock: Clock,
        lease_ttl: timedelta = LEASE_TTL,
        *,
        ours: Ours,
    ) -> None:
        self._keys = keys
        self._ours = ours
        self._connection = connection
        self._clock = clock
        self._host = socket.gethostname()
        self._lease_ttl = lease_ttl
        self._tick_every = lease_ttl * RENEW_EVERY
        self._jumps = _Jumps(lease_ttl)
        self._max_lost: Mapping[str, int] = {}
        self._wake = asyncio.Event()  # never set: ticks come by time alone
        self._backoff = Backoff()

    def take_up(self, max_lost: Mapping[str, int]) -> None:
        """Use these limits, by task, from now on."""
        self._max_lost = max_lost

    async def run(self, stopping: asyncio.Event) -> None:
        """Tick until stopped."""
        while not stopping.is_set():
            try:
                wake_at = await self.tick(self._clock.now())
            except StoreUnavailable as error:
                EventLog().warning("could not look for dead workers", error=error)
                await asyncio.sleep(self._backoff.next_delay())
                continue
            self._backoff.reset()
            await self._clock.sleep_until(wake_at, stopping)

    async def tick(self, now: datetime) -> datetime:
        """Rescue what is orphaned; end what the dead left undone about locks and cancels."""
        asked_at = self._clock.monotonic()
        queues, at = await self._connection.run(known_queues(self._keys))
        can_judge = self._jumps.can_judge(at, asked_at, self._clock.monotonic())
        lease = self._lease_ttl
        finding = find_orphans(
            self._keys, queues, bury_ended=can_judge, after_return=lease, lease=lease
        )
        with passing_over("rescue jobs of dead workers"):
            await self._rescue(finding)
        if can_judge:
            with passing_over("wake who waits for a lock"):
                await self._connection.run(wake_free_locks(self._keys, at))
        with passing_over("cancel jobs that no worker has"):
            await self._connection.run(cancel_unclaimed(self._keys))
        return now + self._tick_every

    async def rescue(
        self, worker: str, ends: Sequence[Finish] = (), *, has_crashed: bool = False
    ) -> None:
        """Rescue the jobs of a worker of this host that is known to be dead, at once.

        `ends` are those of jobs that it was killed for: they are not lost. One that `has_crashed`
        was not killed from outside: its jobs count a loss, also while it was being stopped.
        Raises StoreUnavailable; the next tick after the lease's end does it then.
        """
        # First of all: the store may be away, and once the worker is buried, daemons of other
        # hosts, which cannot kill here, may queue its jobs.
        await self._kill_leftovers(worker)
        await self._end(worker, ends)
        queues, _ = await self._connection.run(known_queues(self._keys))
        finding = find_orphans(self._keys, queues, worker, bury_ended=False, lease=self._lease_ttl)
        await self._rescue(finding, worker, has_crashed=has_crashed)

    async def _rescue(
        self, finding: Operation[list[Orphan]], *dead: str, has_crashed: bool = False
    ) -> None:
        by_worker: dict[str, list[Orphan]] = defaultdict(list, {worker: [] for worker in dead})
        for orphan in await self._connection.run(finding):
            by_worker[orphan.worker].append(orphan)
        for worker, held in by_worker.items():
            await self._rescue_worker(worker, held, has_crashed=has_crashed and worker in dead)

    async def _rescue_worker(
        self, worker: str, orphans: Sequence[Orphan], *, has_crashed: bool
    ) -> None:
        entry = await self._connection.run(read_worker(self._keys, worker))
        if entry is None or entry.host == self._host:
            await self._kill_leftovers(worker)
        is_lost = has_crashed or entry is None or not entry.is_stopping
        taken = 0
        for orphan in orphans:
            taken += await self._take_back(orphan, is_lost=is_lost)
        await self._connection.run(forget_worker(self._keys, worker))
        if taken and is_lost:
            EventLog().warning("rescued jobs of a dead worker", worker=worker, jobs=taken)
        elif taken:
            EventLog().warning(
                "gave back jobs of a worker that was killed while its daemon stopped",
                worker=worker,
                jobs=taken,
                fix="let the platform wait longer than workers.drain, or shorten that",
            )

    async def _kill_leftovers(self, worker: str) -> None:
        """The worker itself, too: its lease may have ended since it was stopped or starved."""
        left = await asyncio.to_thread(_clear_away, worker, self._ours)
        for job_id, pids in left.by_job().items():
            EventLog().warning(
                "killed what a dead worker had left",
                worker=worker,
                job_id=job_id,
                pids=pids,
            )
        if left.survivors:
            EventLog().error(
                "could not kill processes of a dead worker", worker=worker, pids=left.survivors
            )

    async def _take_back(self, orphan: Orphan, *, is_lost: bool) -> int:
        taken = 0
        while True:
            claimed = await self._connection.run(read_claimed(self._keys, orphan))
            if not claimed:
                return taken
            taken += len(claimed)
            damaged = [item for item in claimed if isinstance(item, Unreadable)]
            await self._connection.run(refuse_unreadable(self._keys, orphan.worker, damaged))
            entries = [item for item in claimed if isinstance(item, Entry)]
            await self._requeue_or_fail(orphan.worker, entries, is_lost=is_lost)

    async def _requeue_or_fail(
        self, worker: str, entries: Sequence[Entry], *, is_lost: bool
    ) -> None:
        ids = [entry.job_id for entry in entries]
        # Neither messages nor results: they may be large.
        reading = read_parts(self._keys, ids, (*ROW, "lock", "cron"))
        jobs = await self._connection.run(reading)
        by_id = {job.id: job for job in jobs}
        exhausted = [entry for entry in entries if is_lost and self._is_exhausted(entry, by_id)]
        again = [entry for entry in entries if entry not in exhausted]
        replies = await self._connection.run(requeue(self._keys, again, is_lost=is_lost))
        ends = [_lost(entry, by_id.get(entry.job_id)) for entry in exhausted]
        ends += [
            _cancelled(entry, by_id.get(entry.job_id))
            for entry, reply in zip(again, replies, strict=True)
            if reply is Requeued.CANCELLING
        ]
        await self._end(worker, ends)

    async def _end(self, worker: str, ends: Sequence[Finish]) -> None:
        finished = await self._connection.run(finish(self._keys, worker, ends))
        if finished.woken:
            await self._connection.run(promote(self._keys, finished.woken))

    def _is_exhausted(self, entry: Entry, jobs: Mapping[str, Job]) -> bool:
        job = jobs.get(entry.job_id)
        limit = self._max_lost.get(job.task if job else "", DEFAULT_MAX_LOST)
        return entry.lost + 1 >= limit


def _clear_away(worker: str, ours: Ours) -> Leftovers:
    """Processes first, then the files that they may have open."""
    left = kill_leftovers(worker, ours)
    discard_results(f"{ours.owner}-{worker}")
    discard_secrets(ours.owner, worker)
    return left


class _Jumps:
    """Whether the ends of leases mean anything: not after the store's clock was set forward, or the
    machine was suspended. Then all leases seem to have ended, also those of workers that live."""

    def __init__(self, lease_ttl: timedelta) -> None:
        self._tolerance = lease_ttl * MARGIN
        self._patience_s = (lease_ttl * RENEW_EVERY * 2).total_seconds()  # every worker renews
        self._last: tuple[datetime, float] | None = None
        self._wait_until = 0.0

    def can_judge(self, at: datetime, asked_at: float, answered_at: float) -> bool:
        """`at` by the store's clock lies between two instants of the monotonic one."""
        if self._last is not None:
            before, asked_before = self._last
            longest = timedelta(seconds=answered_at - asked_before)
            if at - before > longest + self._tolerance:
                EventLog().warning("found the clock set forward; workers may renew their leases")
                self._wait_until = answered_at + self._patience_s
        self._last = (at, asked_at)
        return answered_at >= self._wait_until


def _lost(entry: Entry, job: Job | None) -> Finish:
    error = JobError(type="lost", message=f"its worker died {entry.lost + 1} times while it ran")
    return Finish(
        entry,
        job.task if job else "?",
        JobState.FAILED,
        Reason.LOST,
        error=msgspec.json.encode(error),
        lock=HeldLock.of_record(job),
        cron=job.cron if job else None,
    )


def _cancelled(entry: Entry, job: Job | None) -> Finish:
    task, cron = (job.task, job.cron) if job else ("?", None)
    return Finish(entry, task, JobState.CANCELLED, lock=HeldLock.of_record(job), cron=cron)

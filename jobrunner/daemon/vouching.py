"""Renews for workers that live but cannot: a task holds the interpreter's lock.

A worker renews its lease and its jobs' locks from a thread. Code in C that does not let other
threads run (a regular expression that backtracks, a power of large integers) stops that thread,
too. Such a worker is slow and not dead, so nothing of it may be taken back:

- A worker that has not renewed for half of a TTL is silent. Its supervisor, which knows its own
  children, renews for it, as long as the process lives and is not stopped.
- A stopped worker (SIGSTOP, a debugger) gets nothing: it loses its lease, and is killed.
- The script of the renewal refuses both alike. So what was taken back meanwhile stays taken, and
  a worker that speaks again asks the store before it trusts, or ends, anything.
- Nobody in a silent worker can stop a job. One that is past its `timeout` and `kill_grace`, or
  whose cancellation was not answered for as long as its `kill_grace`, costs the worker its life:
  the job ends as it should, the neighbours count a loss.

When all workers renew, this is one call for each third of the shortest TTL. When the supervisor
dies, its workers do.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from jobrunner import message
from jobrunner.clock import Clock
from jobrunner.errors import InvalidArguments, StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.manifest.spec import Manifest
from jobrunner.model import Job
from jobrunner.runner.proctable import can_run
from jobrunner.runner.waiting import TimedOut, stopped
from jobrunner.store.attempts import Entry, Finish
from jobrunner.store.connection import AsyncStoreConnection
from jobrunner.store.damage import passing_over
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LEASE_TTL, RENEW_EVERY, Renewal, renew
from jobrunner.store.records import ROW, read_parts
from jobrunner.store.rescue import find_claimed_by, known_queues
from jobrunner.store.silence import Silence, find_silent
from jobrunner.worker.plans import TaskPlan, build_plans


@dataclass(slots=True)
class _Silent:
    """A worker that is vouched for. Times are monotonic seconds."""

    seen_at: dict[str, float] = field(default_factory=dict)  # a claimed entry, for the first time
    asked_at: dict[str, float] = field(default_factory=dict)  # its cancellation, likewise


class Voucher:
    """Vouches for the workers of one supervisor."""

    def __init__(
        self,
        keys: Keys,
        connection: AsyncStoreConnection,
        clock: Clock,
        workers: Callable[[], Mapping[str, int]],
        kill: Callable[[str], None],
        lease_ttl: timedelta = LEASE_TTL,
    ) -> None:
        """`workers`: the pids of those that live, by id."""
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._workers = workers
        self._kill = kill
        self._lease_ttl = lease_ttl
        self._every_s = 0.0
        self._plans: Mapping[str, TaskPlan] = {}
        self._silent: dict[str, _Silent] = {}
        self._ends: dict[str, list[Finish]] = {}
        self.take_up(Manifest())

    def take_up(self, manifest: Manifest) -> None:
        """Go by this manifest's timeouts and locks from now on."""
        self._plans = build_plans(manifest, self._clock)
        shortest = min([self._lease_ttl, *_lock_ttls(manifest)])
        self._every_s = (shortest * RENEW_EVERY).total_seconds()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            try:
                with passing_over("look for silent workers"):
                    await self.tick()
            except StoreUnavailable as error:
                EventLog().debug("could not look for silent workers", error=error)
            await asyncio.sleep(self._every_s)

    async def tick(self) -> None:
        """Renew for who is silent and lives; end those whose jobs are overdue."""
        pids = self._workers()
        find = find_silent(self._keys, list(pids), self._lease_ttl)
        found = [
            silence for silence in await self._connection.run(find) if can_run(pids[silence.worker])
        ]
        names = {silence.worker for silence in found}
        self._silent = {name: silent for name, silent in self._silent.items() if name in names}
        for silence in found:
            await self._vouch(silence)

    def ends_of(self, worker: str) -> list[Finish]:
        """How those of a killed worker's jobs end that were the reason; for its rescue, once."""
        return self._ends.pop(worker, [])

    async def _vouch(self, silence: Silence) -> None:
        worker = silence.worker
        renewal = await self._connection.run(
            renew(self._keys, worker, silence.locks, ttl=self._lease_ttl)
        )
        if not renewal.is_alive:
            return
        if worker not in self._silent:
            EventLog().warning("renewed the lease of a worker that could not", worker=worker)
            self._silent[worker] = _Silent()
        await self._end_if_overdue(worker, renewal)

    async def _end_if_overdue(self, worker: str, renewal: Renewal) -> None:
        queues, at = await self._connection.run(known_queues(self._keys))
        claimed = await self._connection.run(find_claimed_by(self._keys, worker, queues))
        entries = [item for item in claimed if isinstance(item, Entry)]
        ids = [entry.job_id for entry in entries]
        # Neither messages nor results: they may be large.
        reading = read_parts(self._keys, ids, (*ROW, "lock", "cron"))
        jobs = await self._connection.run(reading)
        by_id = {job.id: job for job in jobs}
        held = [(entry, by_id[entry.job_id]) for entry in entries if entry.job_id in by_id]
        timed_out = self._timed_out(self._silent[worker], held, at)
        ignored = self._ignored(self._silent[worker], held, renewal.to_cancel)
        if timed_out or ignored:
            EventLog().error(
                "killed a worker that does not answer",
                worker=worker,
                overdue=",".join([*(end.entry.job_id for end in timed_out), *ignored]),
            )
            self._ends[worker] = timed_out
            self._kill(worker)

    def _timed_out(
        self, silent: _Silent, held: Sequence[tuple[Entry, Job]], at: datetime
    ) -> list[Finish]:
        """The ends of jobs that ran for too long. One that has no start record yet counts from the
        time that it was seen."""
        now = self._clock.monotonic()
        ends = []
        for entry, job in held:
            elapsed = timedelta(seconds=now - silent.seen_at.setdefault(entry.entry_id, now))
            if job.started_at is not None:
                elapsed = max(elapsed, at - job.started_at)
            plan = self._plans.get(job.task)
            limit = plan.task.timeout if plan else None
            if plan and limit is not None and elapsed > limit + plan.task.kill_grace:
                ends += _timeout(plan, entry, elapsed)
        return ends

    def _ignored(
        self, silent: _Silent, held: Sequence[tuple[Entry, Job]], to_cancel: Sequence[str]
    ) -> list[str]:
        """Ids of jobs whose cancellation was not answered in time; the rescue ends them so."""
        now = self._clock.monotonic()
        found = []
        for _, job in held:
            plan = self._plans.get(job.task)
            if job.id in to_cancel and plan:
                asked_at = silent.asked_at.setdefault(job.id, now)
                if now - asked_at > plan.task.kill_grace.total_seconds():
                    found.append(job.id)
        return found


def _timeout(plan: TaskPlan, entry: Entry, elapsed: timedelta) -> list[Finish]:
    try:
        job = plan.prepare(message.decode(entry.message))
    except (InvalidArguments, msgspec.DecodeError):
        return []  # not by the manifest of now; the worker's own would have to say
    outcome = stopped(TimedOut.TIMED_OUT, elapsed, plan.task.timeout)
    return [plan.finish_of(entry, job, outcome)]


def _lock_ttls(manifest: Manifest) -> list[timedelta]:
    ttls = [task.lock.ttl for task in manifest.tasks.values() if task.lock]
    return ttls + [cron.lock_ttl for cron in manifest.crons.values() if cron.lock_ttl]

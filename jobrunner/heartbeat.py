"""Keeps a worker's lease and its jobs' locks, from a thread of its own.

A thread, because a task that blocks the worker's loop must not cost the lease. One renewal per
beat carries the lease and all locks. Trust ends before the store's view does: a renewal is good
until `asked + ttl - margin`, counted from before it was sent. When trust ends, the processes of
the jobs concerned are killed from here, so that they are dead before anyone else can have the
lock or the jobs, whether or not the loop is able to react. A loop that does not react within the
margin is held by a job that cannot be stopped in any other way: the worker ends itself.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LEASE_TTL, MARGIN, RENEW_EVERY, LockLease, Renewal, renew

LEASE_LOST_EXIT = 75  # EX_TEMPFAIL: the supervisor starts another worker


@dataclass(slots=True)
class _Held:
    """A lock of a running job. Times are monotonic seconds."""

    lease: LockLease
    trusted_until: float
    end_by: float | None = None  # once lost: when the job must have ended


@dataclass(frozen=True, slots=True)
class HeartbeatEvents:
    """What the worker is told; called in the heartbeat's thread."""

    lease_lost: Callable[[], None]
    lock_lost: Callable[[str], None]  # job id
    cancel: Callable[[list[str]], None]  # job ids, perhaps of other workers


class Heartbeat:
    """The lease of one worker process."""

    def __init__(
        self,
        keys: Keys,
        connection: StoreConnection,
        clock: Clock,
        worker: str,
        processes: ProcessRegistry,
        events: HeartbeatEvents,
        ttl: timedelta = LEASE_TTL,
    ) -> None:
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._worker = worker
        self._processes = processes
        self._events = events
        self._ttl = ttl
        self._locks: dict[str, _Held] = {}
        self._mutex = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._is_lost = False
        self._busy = 0
        self._trusted_until = clock.monotonic() + _trust(ttl)
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat")
        self._thread.daemon = True

    def start(self) -> None:
        """Begin to beat; the lease was taken by `enlist` just before."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the lease ends by itself or by `resign`."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._connection.close()

    def is_trusted(self) -> bool:
        """Whether the worker may begin an attempt now."""
        return not self._is_lost and self._clock.monotonic() < self._trusted_until

    def note_busy(self, busy: int) -> None:
        """The number of attempts, shown in `workers`."""
        self._busy = busy

    def hold(self, lease: LockLease, asked_at: float) -> None:
        """Keep a lock from now on; `asked_at` is the monotonic time before it was taken."""
        ttl = timedelta(milliseconds=lease.ttl_ms)
        with self._mutex:
            self._locks[lease.job_id] = _Held(lease, asked_at + _trust(ttl))
        self._wake.set()  # its TTL may be shorter than the time to the next beat

    def let_go(self, job_id: str) -> None:
        """The job has ended; its lock is freed by the finish."""
        with self._mutex:
            self._locks.pop(job_id, None)

    def _beat_until_stopped(self) -> None:
        while not self._stopping and not self._is_lost:
            self._beat()
            self._end_process_if_overdue()
            self._wake.clear()
            if not self._stopping:
                self._wake.wait(self._pause())

    def _beat(self) -> None:
        asked_at = self._clock.monotonic()
        with self._mutex:
            held = [item.lease for item in self._locks.values() if item.end_by is None]
        try:
            renewal = self._connection.run(
                renew(
                    self._keys,
                    self._worker,
                    held,
                    groups=self._processes.groups_json(),
                    busy=self._busy,
                    ttl=self._ttl,
                )
            )
        except StoreUnavailable as error:
            EventLog().warning("could not renew the lease", worker=self._worker, error=error)
            self._end_trust()
        else:
            self._take_up(renewal, held, asked_at)

    def _take_up(self, renewal: Renewal, held: list[LockLease], asked_at: float) -> None:
        if not renewal.is_alive:
            self._lose_lease("another daemon ended it")
            return
        self._trusted_until = asked_at + _trust(self._ttl)
        with self._mutex:
            for lease in held:
                if lease.job_id in self._locks and lease.job_id not in renewal.lost_locks:
                    ttl = timedelta(milliseconds=lease.ttl_ms)
                    self._locks[lease.job_id].trusted_until = asked_at + _trust(ttl)
        for job_id in renewal.lost_locks:
            self._lose_lock(job_id)
        if renewal.to_cancel:
            self._events.cancel(renewal.to_cancel)

    def _end_trust(self) -> None:
        """While the store is away: stop what could collide with others once a lease is over."""
        now = self._clock.monotonic()
        if now >= self._trusted_until:
            self._lose_lease("the store was away for too long")
            return
        with self._mutex:
            lost = [
                job_id
                for job_id, held in self._locks.items()
                if held.end_by is None and now >= held.trusted_until
            ]
        for job_id in lost:
            self._lose_lock(job_id)

    def _lose_lock(self, job_id: str) -> None:
        with self._mutex:
            held = self._locks.get(job_id)
            if held is None:
                return  # it ended while the renewal was under way
            ttl = timedelta(milliseconds=held.lease.ttl_ms)
            held.end_by = self._clock.monotonic() + _margin(ttl)
        EventLog().warning("lost a lock", job_id=job_id, worker=self._worker)
        # Told first: else the loop would see a job that was killed, and take that for its failure.
        self._events.lock_lost(job_id)
        self._processes.kill_job(job_id)

    def _lose_lease(self, why: str) -> None:
        EventLog().error("lost the lease", worker=self._worker, why=why)
        self._is_lost = True
        self._events.lease_lost()
        self._processes.kill_all()
        # The loop has the margin for stopping its functions; then the process goes.
        self._wake.clear()
        if not self._stopping:
            self._wake.wait(_margin(self._ttl))
        if not self._stopping:
            self._end_process()

    def _end_process_if_overdue(self) -> None:
        now = self._clock.monotonic()
        with self._mutex:
            is_overdue = any(h.end_by is not None and now >= h.end_by for h in self._locks.values())
        if is_overdue:
            self._end_process()

    def _end_process(self) -> None:
        EventLog().error("ended itself: a task blocks the loop", worker=self._worker)
        os._exit(LEASE_LOST_EXIT)

    def _pause(self) -> float:
        """Seconds to the next beat: a third of the shortest TTL, less when trust ends before."""
        with self._mutex:
            ttls = [held.lease.ttl_ms / 1000 for held in self._locks.values()]
            ends = [held.end_by or held.trusted_until for held in self._locks.values()]
        shortest = min([self._ttl.total_seconds(), *ttls])
        trust_left = min([self._trusted_until, *ends]) - self._clock.monotonic()
        # Never a hot loop: 20 ms is far below the shortest useful TTL.
        return max(0.02, min(shortest * RENEW_EVERY, trust_left))


def _margin(ttl: timedelta) -> float:
    return ttl.total_seconds() * MARGIN


def _trust(ttl: timedelta) -> float:
    return ttl.total_seconds() - _margin(ttl)

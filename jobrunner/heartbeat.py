"""Keeps a worker's lease and its jobs' locks, from a thread of its own.

A thread, because a task that blocks the worker's loop must not cost the lease. One renewal per
beat carries the lease and all locks. Trust ends before the store's view does: a renewal is good
until `asked + ttl - margin`, counted from before it was sent. When trust ends, the processes of
the jobs concerned are killed from here, so that they are dead before anyone else can have the
lock or the jobs, whether or not the loop is able to react. A loop that does not react within the
margin is held by a job that cannot be stopped in any other way: the worker ends itself.
A server that is away itself, since it was killed or loads its file, can serve nobody else: whoever
may end a lease waits for as long as one lasts after its return (`returned.lua`). So trust counts
anew from each time that it was found away, up to a bound.
The thread itself may be held up: by code that holds the interpreter's lock (then the supervisor has
renewed, see `daemon/vouching.py`), or since the process was stopped (then it was buried). It cannot
tell which, so when it comes back too late it asks the store, and only then ends its trust.
Each renewal has a thread, too: a server that hangs must not hold up the end of trust.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.log import EventLog, flush
from jobrunner.runner.processes import ProcessRegistry
from jobrunner.store.connection import StoreConnection
from jobrunner.store.failures import ReplyError, is_server_away
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LEASE_TTL, MARGIN, RENEW_EVERY, LockLease, Renewal, renew

LEASE_LOST_EXIT = 75  # EX_TEMPFAIL: the supervisor starts another worker


RETRY_EVERY = 1 / 15  # of the TTL: a second of the usual one
# The last renewal may take so long, though trust is over. Of the margin; the rest is for killing.
LAST_TRY = 1 / 3
# Later than planned by more than this the thread was held up, of the TTL; then an answer may take
# this long, however little of the TTL is left.
HELD_UP = MARGIN * LAST_TRY
BACK_PATIENCE_S = 0.5
HOLD_ON = timedelta(minutes=5)  # since the last renewal: a server reads 2 GB in 40 s
LAST_WORDS_S = 0.05  # to log why, when others may have a lock in a moment
LEAVE_S = 1.0  # for the answer to a renewal when the worker goes


@dataclass(slots=True)
class _Held:
    """A lock of a running job. Times are monotonic seconds."""

    lease: LockLease
    renewed_at: float  # when the request that took or renewed it was sent
    away_until: float = 0.0  # trusted, since the server was away
    end_by: float | None = None  # once lost: when the job must have ended

    @property
    def ttl_s(self) -> float:
        return self.lease.ttl_ms / 1000

    @property
    def trusted_until(self) -> float:
        return max(self.renewed_at + _trust(self.ttl_s), self.away_until)


@dataclass(slots=True)
class _Asked:
    """A renewal under way."""

    at: float
    held: list[LockLease]
    answer: Renewal | StoreUnavailable | ReplyError | None = None


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
        hold_on: timedelta = HOLD_ON,
    ) -> None:
        """`hold_on`: for how long after a renewal a server may be away."""
        self._keys = keys
        self._connection = connection
        self._clock = clock
        self._worker = worker
        self._processes = processes
        self._events = events
        self._ttl_s = ttl.total_seconds()
        self._hold_on_s = hold_on.total_seconds()
        self._locks: dict[str, _Held] = {}
        self._mutex = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._is_lost = False
        self._has_failed = False  # the last renewal
        self._busy = 0
        self._ask_until = 0.0  # the thread was held up, and asks the store before it ends its trust
        self._renewed_at = clock.monotonic()
        self._away_until = 0.0  # trusted, since the server was away
        self._asked_at = self._renewed_at - self._ttl_s  # the first beat comes at once
        self._asked: _Asked | None = None
        self._renewing: threading.Thread | None = None
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat")
        self._thread.daemon = True

    def start(self) -> None:
        """Begin to beat; the lease was taken by `enlist` just before."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the lease ends by itself or by `resign`."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        if self._renewing is not None:
            self._renewing.join(LEAVE_S)
            if self._renewing.is_alive():
                return  # it has the connection; both end with the process
        self._connection.close()

    def descriptors(self) -> list[int]:
        """That of its connection, if it has one."""
        return self._connection.descriptors()

    def is_trusted(self) -> bool:
        """Whether the worker may begin an attempt now."""
        return not self._is_lost and self._clock.monotonic() < self._trusted_until

    @property
    def is_lost(self) -> bool:
        """Whether the lease is over for good; its jobs are rescued."""
        return self._is_lost

    def note_busy(self, busy: int) -> None:
        """The number of attempts, shown in `workers`."""
        self._busy = busy

    def hold(self, lease: LockLease, asked_at: float) -> None:
        """Keep a lock from now on; `asked_at` is the monotonic time before it was taken."""
        with self._mutex:
            self._locks[lease.job_id] = _Held(lease, asked_at)
        self._wake.set()  # its TTL may be shorter than the time to the next beat

    def let_go(self, job_id: str) -> None:
        """The job has ended; its lock is freed by the finish."""
        with self._mutex:
            self._locks.pop(job_id, None)

    @property
    def _trusted_until(self) -> float:
        return max(self._renewed_at + _trust(self._ttl_s), self._away_until)

    def _beat_until_stopped(self) -> None:
        planned = self._clock.monotonic()
        while not self._stopping.is_set() and not self._is_lost:
            self._wake.clear()
            now = self._clock.monotonic()
            if now - planned > self._ttl_s * HELD_UP:
                self._ask_until = now + BACK_PATIENCE_S
            self._beat()
            self._end_process_if_overdue()
            if not self._stopping.is_set() and not self._is_lost:
                # Never a hot loop: 20 ms is far below the shortest useful TTL.
                planned = max(now + 0.02, self._look_again_at())
                self._wake.wait(max(0.0, planned - self._clock.monotonic()))

    def _beat(self) -> None:
        now = self._clock.monotonic()
        if self._asked is None and now >= self._ask_at():
            self._ask(now)
        asked = self._asked
        if asked is None:
            return
        if asked.answer is not None:
            self._asked = None
            self._take_up(asked)
        elif now >= self._last_try_until(asked):
            self._end_trust()

    def _ask(self, now: float) -> None:
        self._asked_at = now
        with self._mutex:
            held = [item.lease for item in self._locks.values() if item.end_by is None]
        self._asked = asked = _Asked(now, held)
        self._renewing = threading.Thread(target=self._renew, args=[asked], daemon=True)
        self._renewing.start()

    def _renew(self, asked: _Asked) -> None:
        try:
            asked.answer = self._connection.run(
                renew(
                    self._keys,
                    self._worker,
                    asked.held,
                    groups=self._processes.groups_json(),
                    busy=self._busy,
                    ttl=timedelta(seconds=self._ttl_s),
                )
            )
        except (StoreUnavailable, ReplyError) as error:
            asked.answer = error
        self._wake.set()

    def _take_up(self, asked: _Asked) -> None:
        has_failed, self._has_failed = self._has_failed, not isinstance(asked.answer, Renewal)
        if not isinstance(asked.answer, Renewal):
            if not has_failed:
                error = asked.answer
                EventLog().warning("could not renew the lease", worker=self._worker, error=error)
            if isinstance(asked.answer, StoreUnavailable) and is_server_away(asked.answer):
                self._hold_on(asked.at)
            self._end_trust()
        elif not asked.answer.is_alive:
            self._lose_lease("another daemon ended it")
        else:
            self._take_up_renewal(asked, asked.answer)

    def _take_up_renewal(self, asked: _Asked, renewal: Renewal) -> None:
        self._renewed_at = asked.at
        for lease in asked.held:
            if lease.job_id in renewal.lost_locks:
                self._lose_lock(lease)
                continue
            with self._mutex:
                held = self._locks.get(lease.job_id)
                if held is not None and held.lease is lease:
                    held.renewed_at = asked.at
        if renewal.to_cancel:
            self._events.cancel(renewal.to_cancel)

    def _hold_on(self, asked_at: float) -> None:
        """The server was away at some instant after this one, so it comes back later than that."""
        if asked_at - self._renewed_at > self._hold_on_s:
            return
        until = asked_at + _trust(self._ttl_s)
        if asked_at < self._trusted_until:
            self._away_until = until
        with self._mutex:
            for held in self._locks.values():
                if held.end_by is None and asked_at < held.trusted_until:
                    held.away_until = until

    def _end_trust(self) -> None:
        """While the store is away: stop what could collide with others once a lease is over."""
        now = self._clock.monotonic()
        if now < self._ask_until:
            return
        if now >= self._trusted_until:
            self._lose_lease("the store was away for too long")
            return
        with self._mutex:
            lost = [
                held.lease
                for held in self._locks.values()
                if held.end_by is None and now >= held.trusted_until
            ]
        for lease in lost:
            self._lose_lock(lease)

    def _lose_lock(self, lease: LockLease) -> None:
        job_id = lease.job_id
        with self._mutex:
            held = self._locks.get(job_id)
            if held is None or held.lease is not lease:
                return  # that attempt ended while the renewal was under way
            held.end_by = self._clock.monotonic() + _margin(held.ttl_s)
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
        if not self._stopping.wait(_margin(self._ttl_s)):
            self._end_process()

    def _end_process_if_overdue(self) -> None:
        now = self._clock.monotonic()
        with self._mutex:
            is_overdue = any(h.end_by is not None and now >= h.end_by for h in self._locks.values())
        if is_overdue:
            self._end_process()

    def _end_process(self) -> None:
        EventLog().error("ended itself: it did not stop its jobs in time", worker=self._worker)
        flush(LAST_WORDS_S)
        os._exit(LEASE_LOST_EXIT)

    def _ask_at(self) -> float:
        """When the next renewal is due: a third of a TTL after the last, and as trust ends.

        Soon after one that failed: a store that comes and goes must not be missed each time.
        """
        share = RETRY_EVERY if self._has_failed else RENEW_EVERY
        with self._mutex:
            kept = [held for held in self._locks.values() if held.end_by is None]
        due = [
            min(max(self._asked_at, held.renewed_at) + held.ttl_s * share, held.trusted_until)
            for held in kept
        ]
        return min([self._asked_at + self._ttl_s * share, self._trusted_until, *due])

    def _last_try_until(self, asked: _Asked) -> float:
        """Until when an answer may take: the first end of trust, or a moment for a last try."""
        with self._mutex:
            kept = [held for held in self._locks.values() if held.end_by is None]
        ttl_s, until = min(
            [(self._ttl_s, self._trusted_until), *((h.ttl_s, h.trusted_until) for h in kept)],
            key=lambda end: end[1],
        )
        return max(until, asked.at + _margin(ttl_s) * LAST_TRY, self._ask_until)

    def _look_again_at(self) -> float:
        with self._mutex:
            ends = [held.end_by for held in self._locks.values() if held.end_by is not None]
        asked = self._asked
        return min([self._ask_at() if asked is None else self._last_try_until(asked), *ends])


def _margin(ttl_s: float) -> float:
    return ttl_s * MARGIN


def _trust(ttl_s: float) -> float:
    return ttl_s - _margin(ttl_s)

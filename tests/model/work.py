"""What workers and rescuers do, as operations of several round trips."""

from collections.abc import Sequence
from typing import Any

from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.attempts import (
    Entry,
    Finish,
    HeldLock,
    Requeued,
    Start,
    StartedAs,
    Unreadable,
    claim,
    claim_next,
    ensure_groups,
    finish,
    requeue,
    start,
)
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import Fire, fire
from jobrunner.store.due import promote
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.leases import MARGIN, LockLease, enlist, renew
from jobrunner.store.parking import Parked, park
from jobrunner.store.requests import Operation, Script
from jobrunner.store.rescue import (
    find_orphans,
    forget_worker,
    known_queues,
    read_claimed,
)
from jobrunner.store.unreadable import refuse_unreadable
from tests.model.ledger import Hand, Ledger
from tests.model.state import Model
from tests.store.factories import QUEUES, a_worker

LEASE_MS = 15_000
MAX_LOST = 2
TASKS: dict[str, HeldLock | None] = {
    "plain": None,
    "line": HeldLock("report", slots=1, ttl_ms=8_000, conflict="wait"),
    "once": HeldLock("report", slots=1, ttl_ms=8_000, conflict="skip"),
    "pair": HeldLock("export", slots=2, ttl_ms=20_000, conflict="wait"),
}


class Work:
    """The operations of one namespace, with what they tell the ledger."""

    def __init__(self, keys: Keys, model: Model, ledger: Ledger) -> None:
        self._keys = keys
        self._model = model
        self._ledger = ledger

    def join(self, worker: str) -> Operation[None]:
        asked_at = self._model.now
        yield from ensure_groups(self._keys, QUEUES)
        yield from enlist(self._keys, a_worker(worker))
        self._ledger.lease_until[worker] = asked_at + round(LEASE_MS * (1 - MARGIN))

    def claim(self, worker: str, free: int, share: tuple[int, int], turn: int) -> Operation[None]:
        claimed = yield from claim(
            self._keys, worker, QUEUES, free, fair_share=share, rotation=turn
        )
        if claimed is None:
            self._ledger.stop(worker)
        yield from self._take(worker, claimed or [])

    def claim_next(self, worker: str) -> Operation[None]:
        claimed = yield from claim_next(self._keys, worker, QUEUES, block_ms=1)
        yield from self._take(worker, claimed)

    def _take(self, worker: str, claimed: Sequence[Entry | Unreadable]) -> Operation[None]:
        for item in claimed:
            if isinstance(item, Entry):
                self._take_one(worker, item)
        damaged = [item for item in claimed if isinstance(item, Unreadable)]
        for _ in range(2):  # the first reply is lost
            yield from refuse_unreadable(self._keys, worker, damaged)

    def _take_one(self, worker: str, entry: Entry) -> None:
        job = self._model.jobs.get(entry.job_id)
        task = job.task if job else "plain"
        hand = Hand(worker, entry, task, TASKS[task])
        # A job without a lock runs before its start record; nothing begins after the lease.
        hand.is_running = hand.lock is None and worker in self._ledger.lease_until
        self._ledger.take(hand)

    def start(self, worker: str, hands: Sequence[Hand]) -> Operation[None]:
        asked_at = self._model.now
        starts = [Start(hand.entry, hand.task, 3, hand.lock) for hand in hands]
        replies = yield from start(self._keys, worker, starts)
        for hand, (what, token) in zip(hands, replies, strict=True):
            if what is not StartedAs.STARTED:
                hand.is_running = False
            elif hand.lock is not None:
                hand.token = token
                hand.trust_lock(asked_at)
                hand.is_running = worker in self._ledger.lease_until

    def finish(self, worker: str, hands: Sequence[Hand], **end: Any) -> Operation[None]:
        """The processes end before the finish is sent."""
        for hand in hands:
            hand.is_running = False
        finished = yield from finish(self._keys, worker, [self._end(h, **end) for h in hands])
        yield from promote(self._keys, finished.woken)

    def _end(self, hand: Hand, **end: Any) -> Finish:
        job = self._model.jobs.get(hand.entry.job_id)
        cron = job.cron if job else None
        return Finish(hand.entry, hand.task, lock=hand.lock, cron=cron, **end)

    def release(self, worker: str, hands: Sequence[Hand]) -> Operation[None]:
        """Give jobs back; those that a user cancels are ended instead."""
        for hand in hands:
            hand.is_running = False
        entries = [hand.entry for hand in hands]
        replies = yield from requeue(self._keys, entries, is_lost=False)
        ends = [
            self._end(hand, state=JobState.CANCELLED, counts_attempt=False)
            for hand, reply in zip(hands, replies, strict=True)
            if reply is Requeued.CANCELLING
        ]
        finished = yield from finish(self._keys, worker, ends)
        yield from promote(self._keys, finished.woken)

    def park(self, hand: Hand) -> Operation[None]:
        """Of a job whose task the worker does not know."""
        hand.is_running = False
        reply = yield from park(self._keys, hand.entry, hand.task)
        if reply is Parked.CANCELLING:
            end = self._end(hand, state=JobState.CANCELLED, counts_attempt=False)
            finished = yield from finish(self._keys, hand.worker, [end])
            yield from promote(self._keys, finished.woken)

    def renew(self, worker: str, hands: Sequence[Hand]) -> Operation[None]:
        asked_at = self._model.now
        held = [hand for hand in hands if hand.token and hand.lock]
        locks = [
            LockLease(h.lock.name, h.entry.job_id, h.token, h.lock.ttl_ms) for h in held if h.lock
        ]
        answer = yield from renew(self._keys, worker, locks, groups=b"[]", busy=len(hands))
        if not answer.is_alive:
            self._ledger.stop(worker)
            return
        if worker in self._ledger.lease_until:
            self._ledger.lease_until[worker] = asked_at + round(LEASE_MS * (1 - MARGIN))
        for hand in held:
            if hand.entry.job_id in answer.lost_locks:
                hand.is_running = False
            else:
                hand.trust_lock(asked_at)

    def rescue(self, dead: str = "") -> Operation[None]:
        """As the rescuer does it: bury, kill (`dead` was killed before), take back."""
        queues, _ = yield from known_queues(self._keys)
        found = yield from find_orphans(self._keys, queues, dead, bury_ended=not dead)
        for orphan in found:
            claimed = yield from read_claimed(self._keys, orphan)
            damaged = [item for item in claimed if isinstance(item, Unreadable)]
            yield from refuse_unreadable(self._keys, orphan.worker, damaged)
            entries = [item for item in claimed if isinstance(item, Entry)]
            yield from self._take_back(orphan.worker, entries)
        for worker in {orphan.worker for orphan in found} | ({dead} if dead else set()):
            yield from forget_worker(self._keys, worker)

    def _take_back(self, worker: str, entries: Sequence[Entry]) -> Operation[None]:
        poison = [entry for entry in entries if entry.lost + 1 >= MAX_LOST]
        again = [entry for entry in entries if entry.lost + 1 < MAX_LOST]
        replies = yield from requeue(self._keys, again, is_lost=True)
        ends = [self._lost(entry, JobState.FAILED, Reason.LOST) for entry in poison]
        ends += [
            self._lost(entry, JobState.CANCELLED, None)
            for entry, reply in zip(again, replies, strict=True)
            if reply is Requeued.CANCELLING
        ]
        finished = yield from finish(self._keys, worker, ends)
        yield from promote(self._keys, finished.woken)

    def _lost(self, entry: Entry, state: JobState, reason: Reason | None) -> Finish:
        job = self._model.jobs.get(entry.job_id)
        # Who ends the job of a dead worker does not know the slots: one.
        lock = HeldLock(job.lock, 1, 0, "") if job and job.lock else None
        cron = job.cron if job else None
        return Finish(entry, job.task if job else "?", state, reason, lock=lock, cron=cron)

    def fire(self, items: Sequence[Fire]) -> Operation[None]:
        replies = yield from fire(self._keys, items)
        for item, fired in zip(items, replies, strict=True):
            if fired.what in ("queued", "scheduled", "blocked", "skipped"):
                at = round(item.fire_time.timestamp() * 1000)
                self._ledger.fired[item.cron, at] += 1
                self._ledger.acknowledged.add(item.job_id)
            if fired.what == "blocked" and item.overlap == "replace":
                yield from cancel(self._keys, fired.previous, Reason.REPLACED)

    def stand_in_line(self, job_id: str) -> Operation[None]:
        """Ask where a job stands, whatever its state."""
        job = self._model.jobs.get(job_id)
        queue, own = job.place if job else ("default", Priority.LOW)
        levels = list(Priority)[: list(Priority).index(Priority(own)) + 1]
        names = [self._keys.queue(queue, level) for level in levels]
        yield Script("place", [self._keys.job(job_id), *names], [GROUP, 2, len(names)])

"""Locks as users see them: who holds, who waits, and breaking one by hand."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from jobrunner.clock import from_ms, to_ms
from jobrunner.store.decoding import text_of, whole_of
from jobrunner.store.due import promote
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LEASE_TTL, score_instant
from jobrunner.store.requests import Command, Operation, Pipeline, Script

MOST_LOCKS = 1000  # that are read at once
MOST_WAITING = 100  # job ids per lock, where many locks are read


class LockHolder(msgspec.Struct, frozen=True):
    """One job that has the lock, and until when if its worker should vanish now."""

    job_id: str
    task: str
    worker: str
    token: int
    since: datetime | None
    expires_at: datetime


class LockRecord(msgspec.Struct, frozen=True):
    """A lock that is held or waited for."""

    name: str
    holders: list[LockHolder]
    waiting: list[str]  # job ids, in order
    more_waiting: int = 0  # jobs in line behind those

    @property
    def waiting_count(self) -> int:
        return len(self.waiting) + self.more_waiting


def read_locks(keys: Keys, limit: int = MOST_LOCKS) -> Operation[list[LockRecord]]:
    """The locks that are held or waited for, by name; of many, those with the latest lease ends."""
    names = yield Command(("ZRANGE", keys.locks(), 0, limit - 1, "REV"))
    records = yield from _read_records(keys, sorted(text_of(name) for name in names), MOST_WAITING)
    return [record for record in records if record.holders or record.waiting]


def count_locks(keys: Keys) -> Operation[int]:
    """How many locks are held or waited for."""
    number: int = yield Command(("ZCARD", keys.locks()))
    return number


def read_lock(keys: Keys, name: str) -> Operation[LockRecord]:
    """One lock; empty lists when it is free."""
    records = yield from _read_records(keys, [name], 0)
    return records[0]


def _read_records(
    keys: Keys, names: Sequence[str], most_waiting: int
) -> Operation[list[LockRecord]]:
    """Two round trips, whatever the number of locks. `most_waiting` 0: all that wait."""
    if not names:
        return []
    holding = [Command(("ZRANGE", keys.lock(name), 0, -1, "WITHSCORES")) for name in names]
    lines = [keys.lock_waiting(name) for name in names]
    waiting = [Command(("ZRANGE", line, 0, most_waiting - 1)) for line in lines]
    lengths = [Command(("ZCARD", line)) for line in lines]
    replies = yield Pipeline([*holding, *waiting, *lengths])
    number = len(names)
    ends = [list(zip(flat[::2], flat[1::2], strict=True)) for flat in replies[:number]]
    holders = yield from _read_holders(keys, [end for some in ends for end in some])
    return [
        LockRecord(
            name,
            [holders[job_id] for job_id, _ in some],
            [text_of(item) for item in line],
            max(length - len(line), 0),
        )
        for name, some, line, length in zip(
            names, ends, replies[number : 2 * number], replies[2 * number :], strict=True
        )
    ]


def _read_holders(
    keys: Keys, ends: Sequence[tuple[bytes, bytes]]
) -> Operation[dict[bytes, LockHolder]]:
    """Holders by job id. A job has one lock at most."""
    if not ends:
        return {}
    fields = ("task", "worker", "lock_token", "started_at")
    replies = yield Pipeline([Command(("HMGET", keys.job(text_of(i)), *fields)) for i, _ in ends])
    return {
        job_id: LockHolder(
            text_of(job_id),
            text_of(task),
            text_of(worker),
            whole_of(token, 0) or 0,
            score_instant(since) if since else None,
            score_instant(end) or from_ms(0),
        )
        for (job_id, end), (task, worker, token, since) in zip(ends, replies, strict=True)
    }


def wake_free_locks(keys: Keys, at: datetime | None = None) -> Operation[int]:
    """Wake the first waiter of each lock with a holder that vanished; returns how many woke.

    `at`: a moment ago by the store's clock, by who knows it; else the store is asked.
    """
    if at is None:
        seconds, micros = yield Command(("TIME",))
        at = from_ms(int(seconds) * 1000 + int(micros) // 1000)
    ended = ("-inf", to_ms(at), "BYSCORE", "LIMIT", 0, 1000)
    names = yield Command(("ZRANGE", keys.locks(), *ended))
    woken: list[str] = []
    for item in names:
        woken += yield from _wake(keys, text_of(item))
    yield from promote(keys, woken)
    return len(woken)


def _wake(keys: Keys, name: str) -> Operation[list[str]]:
    first = yield Command(("ZRANGE", keys.lock_waiting(name), 0, 0))
    waiter = text_of(first[0]) if first else ""
    names = [keys.lock(name), keys.lock_waiting(name), keys.locks(), keys.scheduled()]
    names.append(keys.server())
    if waiter:
        names.append(keys.job(waiter))
    wait_ms = LEASE_TTL // timedelta(milliseconds=1)
    woken: bytes = yield Script("wake", names, [name, waiter, wait_ms])
    return [text_of(woken)] if woken else []


def break_lock(keys: Keys, name: str) -> Operation[list[str]]:
    """Take the lock from its holders, whose jobs are stopped by their workers' next renewal.

    Returns the ids of the jobs that held it.
    """
    holders = yield Command(("ZRANGE", keys.lock(name), 0, -1))
    if holders:
        yield Command(("ZREM", keys.lock(name), *holders))
    yield from promote(keys, (yield from _wake(keys, name)))
    return [text_of(item) for item in holders]

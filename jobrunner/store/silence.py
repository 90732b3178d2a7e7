"""Workers that live and do not renew: who they are, and the locks of their jobs."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from jobrunner.store.decoding import score_of, text_of, whole_of
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LockLease
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

SILENT_AFTER = 1 / 2  # of a TTL: a renewal is due at a third, so one is late or missing


class Silence(msgspec.Struct, frozen=True):
    """A worker that has not itself renewed its lease, or these locks, for half of their time."""

    worker: str
    locks: list[LockLease]


def find_silent(keys: Keys, workers: Sequence[str], ttl: timedelta) -> Operation[list[Silence]]:
    """Those of the workers that are silent. One round trip when none is, and no lock is short.

    `ttl` is that of the lease. A worker that was buried is not among them.
    """
    names = [keys.workers(), keys.locks(), *(keys.worker(worker) for worker in workers)]
    args: list[Argument] = [ttl * SILENT_AFTER // timedelta(milliseconds=1), *workers]
    silent, short, now_ms = yield Script("unrenewed", names, args)
    locks = yield from _unrenewed_locks(keys, [text_of(name) for name in short], now_ms)
    found = [text_of(worker) for worker in silent]
    found += [worker for worker in workers if worker in locks and worker.encode() not in silent]
    return [Silence(worker, locks.get(worker, [])) for worker in found]


def _unrenewed_locks(
    keys: Keys, names: Sequence[str], now_ms: int
) -> Operation[dict[str, list[LockLease]]]:
    """By worker, whoever it belongs to."""
    if not names:
        return {}
    replies = yield Pipeline(
        [Command(("ZRANGE", keys.lock(name), 0, -1, "WITHSCORES")) for name in names]
    )
    ends = [
        (name, text_of(job_id), score_of(end))
        for name, flat in zip(names, replies, strict=True)
        for job_id, end in zip(flat[::2], flat[1::2], strict=True)
    ]
    if not ends:
        return {}
    fields = ("worker", "lock_token", "lock_ttl")
    records = yield Pipeline([Command(("HMGET", keys.job(job), *fields)) for _, job, _ in ends])
    found: dict[str, list[LockLease]] = defaultdict(list)
    for (name, job_id, end), (worker, token, ttl_ms) in zip(ends, records, strict=True):
        ttl = whole_of(ttl_ms, 1)
        if worker and token and ttl and end - now_ms < ttl * SILENT_AFTER:
            lease = LockLease(name, job_id, text_of(token), ttl)
            found[text_of(worker)].append(lease)
    return found

"""From `scheduled` and `blocked` to the queues: due jobs, retries and woken waiters."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from jobrunner.clock import from_ms
from jobrunner.model import LIVE, JobState, Reason
from jobrunner.store.decoding import is_text, score_of, text_of, time_of
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script
from jobrunner.store.settling import settle

BATCH = 100  # jobs per script call, 2 ms of the server's time: a million must not hold up others


class Promotion(msgspec.Struct, frozen=True):
    """How many jobs moved; whether more are due; when the next one will be.

    `at` is when it was done; both instants are by the store's clock.
    """

    promoted: int
    is_more_due: bool
    next_due_at: datetime | None
    at: datetime


class _Waiting(msgspec.Struct, frozen=True):
    job_id: str
    queue: str
    priority: str
    upstream: str | None  # the job it waits for


def promote_due(keys: Keys) -> Operation[Promotion]:
    """Promote one batch of what is due by the store's clock."""
    time, first = yield Pipeline(
        [
            Command(("TIME",)),
            Command(("ZRANGE", keys.scheduled(), 0, BATCH, "WITHSCORES")),
        ]
    )
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    pairs = zip(first[::2], first[1::2], strict=True)
    due_at = {member: score_of(score) for member, score in pairs}
    due = [member for member, ms in due_at.items() if ms <= now_ms][:BATCH]
    strange = [member for member in due if not is_text(member)]
    if strange:
        # No job has such an id: they would stay at the head of the line for ever.
        yield Command(("ZREM", keys.scheduled(), *strange))
    promoted = yield from promote(keys, [member.decode() for member in due if is_text(member)])
    later = [ms for ms in due_at.values() if ms > now_ms]
    return Promotion(
        promoted,
        is_more_due=len(due_at) > len(due) and not later,
        next_due_at=from_ms(min(later)) if later else None,
        at=time_of(time),
    )


def promote(keys: Keys, job_ids: Sequence[str]) -> Operation[int]:
    """Promote those of the jobs that are due; end those whose upstream job did not complete.

    An ended job may wake others in turn, so it goes on until none is left.
    """
    promoted = 0
    while job_ids:
        woken: list[str] = []
        for start in range(0, len(job_ids), BATCH):
            promoted += yield from _promote_batch(keys, job_ids[start : start + BATCH], woken)
        job_ids = woken
    return promoted


def _promote_batch(keys: Keys, job_ids: Sequence[str], woken: list[str]) -> Operation[int]:
    """How many moved; adds to `woken` who waited for those that had to be ended."""
    waiting = yield from _read_waiting(keys, job_ids)
    replies = yield from _move(keys, waiting)
    for job, reply in zip(waiting, replies, strict=True):
        if reply == b"upstream":
            woken += yield from _fail(keys, job)
    return replies.count(b"promoted")


def _read_waiting(keys: Keys, job_ids: Sequence[str]) -> Operation[list[_Waiting]]:
    fields = ("queue", "priority", "awaits", "after")
    replies = yield Pipeline([Command(("HMGET", keys.job(i), *fields)) for i in job_ids])
    waiting, gone = [], []
    for job_id, (queue, priority, awaits, after) in zip(job_ids, replies, strict=True):
        if queue is None:
            gone.append(job_id)
        else:
            upstream = text_of(after) if awaits else None
            if awaits == b"end":
                upstream = yield from last_begun(keys, text_of(after))
            waiting.append(_Waiting(job_id, text_of(queue), text_of(priority), upstream))
    if gone:
        yield Command(("ZREM", keys.scheduled(), *gone))
    return waiting


def last_begun(keys: Keys, upstream: str) -> Operation[str]:
    """The job to wait for: one that ended while it waited itself leaves that to its followers."""
    seen = set()
    while upstream not in seen:  # a damaged row may lead back to itself
        seen.add(upstream)
        fields = ("state", "awaits", "after")
        state, awaits, after = yield Command(("HMGET", keys.job(upstream), *fields))
        if state is None or text_of(state) in LIVE or awaits != b"end":
            return upstream
        upstream = text_of(after)
    return upstream


def _move(keys: Keys, waiting: Sequence[_Waiting]) -> Operation[list[bytes]]:
    if not waiting:
        return []
    names = [keys.scheduled(), keys.blocked(), keys.counts()]
    args: list[Argument] = []
    for job in waiting:
        names += [keys.job(job.job_id), keys.queue(job.queue, job.priority)]
        args += [job.job_id, 1 if job.upstream else ""]
        if job.upstream:
            names += [keys.job(job.upstream), keys.watchers(job.upstream)]
    replies: list[bytes] = yield Script("promote", names, args)
    return replies


def _fail(keys: Keys, job: _Waiting) -> Operation[list[str]]:
    """End a job for its upstream job; returns the jobs woken by that."""
    detail = job.upstream or ""
    ended = yield from settle(
        keys, job.job_id, JobState.FAILED, Reason.UPSTREAM, detail, only_if=JobState.BLOCKED
    )
    return ended.woken

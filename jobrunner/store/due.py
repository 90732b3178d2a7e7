"""From `scheduled` and `blocked` to the queues: due jobs, retries and woken waiters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jobrunner.clock import from_ms
from jobrunner.model import LIVE, JobState, Reason
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline, Script
from jobrunner.store.settling import settle

BATCH = 500  # jobs per script call, so that a million due jobs never hold up the server


@dataclass(frozen=True, slots=True)
class Promotion:
    """How many jobs moved; whether more are due; when the next one will be (store's clock)."""

    promoted: int
    is_more_due: bool
    next_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    job_id: str
    queue: str
    priority: str
    after: str | None
    is_any_end_good: bool


def promote_due(keys: Keys) -> Operation[Promotion]:
    """Promote one batch of what is due by the store's clock."""
    time, first = yield Pipeline(
        [
            Command(("TIME",)),
            Command(("ZRANGE", keys.scheduled(), 0, BATCH, "WITHSCORES")),
        ]
    )
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    due_at = {key.decode(): int(score) for key, score in zip(first[::2], first[1::2], strict=True)}
    due = [job_id for job_id, at in due_at.items() if at <= now_ms][:BATCH]
    promoted = yield from promote(keys, due)
    later = [at for at in due_at.values() if at > now_ms]
    return Promotion(
        promoted,
        is_more_due=len(due_at) > len(due) and not later,
        next_due_at=from_ms(min(later)) if later else None,
    )


def promote(keys: Keys, job_ids: Sequence[str]) -> Operation[int]:
    """Promote those of the jobs that are due; end those whose upstream job did not complete.

    An ended job may wake others in turn, so it goes on until none is left.
    """
    promoted = 0
    while job_ids:
        waiting = yield from _read_waiting(keys, job_ids)
        gone = set(job_ids) - {job.job_id for job in waiting}
        if gone:
            yield Command(("ZREM", keys.scheduled(), *gone))
        failed_upstream = yield from _upstream_failures(keys, waiting)
        promoted += yield from _move(keys, [j for j in waiting if j.job_id not in failed_upstream])
        woken: list[str] = []
        for job_id, upstream in failed_upstream.items():
            ended = yield from settle(keys, job_id, JobState.FAILED, Reason.UPSTREAM, upstream)
            woken += ended.woken
        job_ids = woken
    return promoted


def _move(keys: Keys, ready: Sequence[_Waiting]) -> Operation[int]:
    if not ready:
        return 0
    names = [keys.scheduled(), keys.blocked(), keys.counts()]
    for job in ready:
        names += [keys.job(job.job_id), keys.queue(job.queue, job.priority)]
    moved: list[int] = yield Script("promote", names, [job.job_id for job in ready])
    return sum(moved)


def _read_waiting(keys: Keys, job_ids: Sequence[str]) -> Operation[list[_Waiting]]:
    fields = ("queue", "priority", "after", "after_any")
    replies = yield Pipeline([Command(("HMGET", keys.job(i), *fields)) for i in job_ids])
    return [
        _Waiting(
            job_id, queue.decode(), priority.decode(), after.decode() if after else None, bool(any_)
        )
        for job_id, (queue, priority, after, any_) in zip(job_ids, replies, strict=True)
        if queue
    ]


def _upstream_failures(keys: Keys, waiting: Sequence[_Waiting]) -> Operation[dict[str, str]]:
    """Waiting jobs whose upstream job ended otherwise than completed, with that job's id."""
    strict = [job for job in waiting if job.after and not job.is_any_end_good]
    if not strict:
        return {}
    replies = yield Pipeline(
        [Command(("HGET", keys.job(job.after or ""), "state")) for job in strict]
    )
    good = {*LIVE, JobState.COMPLETED}
    return {
        job.job_id: job.after or ""
        for job, state in zip(strict, replies, strict=True)
        if (state or b"").decode() not in good
    }

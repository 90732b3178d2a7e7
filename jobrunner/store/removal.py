"""Deleting finished jobs: by a user, and by retention (prune)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from jobrunner.clock import to_ms
from jobrunner.model import JobState
from jobrunner.store.attempts import DONE_STATES
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline, Script

BATCH = 200  # jobs per step: a prune of many must not hold up other callers


def delete_jobs(keys: Keys, job_ids: Sequence[str]) -> Operation[list[str]]:
    """Delete finished jobs; per job `deleted`, `gone`, or the live state that forbids it."""
    outcomes: list[str] = []
    for start in range(0, len(job_ids), BATCH):
        outcomes += yield from _delete_batch(keys, job_ids[start : start + BATCH])
    return outcomes


def _delete_batch(keys: Keys, job_ids: Sequence[str]) -> Operation[list[str]]:
    fields = yield Pipeline(
        [Command(("HMGET", keys.job(job_id), "task", "key")) for job_id in job_ids]
    )
    names = [*(keys.done(state) for state in DONE_STATES), keys.results()]
    for job_id, (task, key) in zip(job_ids, fields, strict=True):
        names += [keys.job(job_id), keys.log(job_id), keys.task_done(_text(task))]
        names += [keys.watchers(job_id), keys.unique(_text(key))]
    replies = yield Script("delete", names, list(job_ids))
    return [_text(reply) for reply in replies]


def _text(raw: bytes | None) -> str:
    """As much of a damaged one as is text: it must not hold up the others."""
    return (raw or b"").decode(errors="replace")


def prune_state(
    keys: Keys, state: JobState, *, now: datetime, keep_for: timedelta, keep_count: int
) -> Operation[int]:
    """Delete one batch of the jobs in a terminal state that are too old or too many.

    Returns how many have left the state's index: all that were looked at, so that a prune ends.
    """
    done = keys.done(state)
    oldest, number = yield Pipeline(
        [
            Command(("ZRANGE", done, "-inf", to_ms(now - keep_for), "BYSCORE", "LIMIT", 0, BATCH)),
            Command(("ZCARD", done)),
        ]
    )
    excess = min(number - keep_count, BATCH)
    if excess > len(oldest):
        oldest = yield Command(("ZRANGE", done, 0, excess - 1))
    ids = [_text(member) for member in oldest]
    # No record has an id that is no text, and so no script takes it out.
    strange = [raw for raw, job_id in zip(oldest, ids, strict=True) if raw != job_id.encode()]
    if strange:
        yield Command(("ZREM", done, *strange))
    yield from delete_jobs(keys, ids)
    return len(oldest)


def prune_results(keys: Keys, now: datetime) -> Operation[int]:
    """Drop results whose `result_ttl` is over; the records stay."""
    due = yield Command(
        ("ZRANGE", keys.results(), "-inf", to_ms(now), "BYSCORE", "LIMIT", 0, BATCH)
    )
    if due:
        ids = [_text(member) for member in due]
        yield Pipeline(
            [
                *(Command(("HDEL", keys.job(job_id), "result")) for job_id in ids),
                Command(("ZREM", keys.results(), *due)),
            ]
        )
    return len(due)

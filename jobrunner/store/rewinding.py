"""What a clock that was ahead has left in the indexes by time: set back once the clock is right.

Without it a dead worker, or a lock of one, would keep its lease, a retry would wait, and the last
ends of a task would hide all later ones, for as long as the clock was ahead. Each is told by an
instant that lies further ahead of the store's clock than any of its kind can:

| index | set back to |
|---|---|
| ended jobs | now: retention and lists count from there |
| leases of daemons and locks, what daemons know | as if renewed now |
| a retry | its delay after now |
| a job that was woken or parked | now |

Left alone is a delayed job that has not begun: the time it was given may be the one that was meant
(`doctor` tells of those that are further ahead than a year, or that were made in the future).
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec

from jobrunner.clock import to_ms
from jobrunner.model import JobState, Reason
from jobrunner.store.attempts import DONE_STATES
from jobrunner.store.crons import LARGEST_SKEW
from jobrunner.store.decoding import is_text, read_time, score_of, text_of, whole_of
from jobrunner.store.keys import Keys
from jobrunner.store.leases import LEASE_TTL
from jobrunner.store.parking import BELIEVED_FOR, LONGEST_DELAY_MS
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

BATCH = 200  # members per index and step
MILLISECOND = timedelta(milliseconds=1)
SKEW_MS = LARGEST_SKEW // MILLISECOND
FAR_OFF = timedelta(days=366)  # a delay that is hardly meant


class _Member(msgspec.Struct, frozen=True):
    """A member of an index, the score it has, and the one it gets; `other` goes with it."""

    id: str
    seen: bytes
    to_ms: int
    other: str


def rewind(keys: Keys) -> Operation[int]:
    """Set one batch of each index back; returns how many members were."""
    now_ms = to_ms((yield from read_time()))
    moved = 0
    for state in DONE_STATES:
        moved += yield from _rewind_done(keys, keys.done(state), now_ms)
    for index, life in ((keys.daemons(), LEASE_TTL), (keys.knowers(), BELIEVED_FOR)):
        ahead = yield from _read_ahead(index, now_ms + life // MILLISECOND)
        end_ms = now_ms + life // MILLISECOND
        members = [_Member(member, seen, end_ms, index) for member, seen in ahead]
        moved += yield from _move(keys, index, "", members)
    moved += yield from _rewind_locks(keys, now_ms)
    moved += yield from _rewind_due(keys, now_ms)
    return moved


def _read_ahead(index: str, limit_ms: int) -> Operation[list[tuple[str, bytes]]]:
    """Members that are further ahead than that and the skew of clocks, the furthest first."""
    bounds = ("+inf", f"({limit_ms + SKEW_MS}", "BYSCORE", "REV", "LIMIT", 0, BATCH)
    flat = yield Command(("ZRANGE", index, *bounds, "WITHSCORES"))
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [(text_of(member), score) for member, score in pairs if is_text(member)]


def _move(keys: Keys, index: str, what: str, members: Sequence[_Member]) -> Operation[int]:
    if not members:
        return 0
    args: list[Argument] = [what, keys.wake_channel()]
    for member in members:
        args += [member.id, member.seen, member.to_ms]
    moved: int = yield Script("rewind", [index, *(member.other for member in members)], args)
    return moved


def _rewind_done(keys: Keys, index: str, now_ms: int) -> Operation[int]:
    ahead = yield from _read_ahead(index, now_ms)
    if not ahead:
        return 0
    tasks = yield Pipeline([Command(("HGET", keys.job(job_id), "task")) for job_id, _ in ahead])
    pairs = zip(ahead, tasks, strict=True)
    members = [
        _Member(job_id, seen, now_ms, keys.task_done(text_of(task)))
        for (job_id, seen), task in pairs
    ]
    return (yield from _move(keys, index, "done", members))


def _rewind_locks(keys: Keys, now_ms: int) -> Operation[int]:
    moved = 0
    for name, _ in (yield from _read_ahead(keys.locks(), now_ms)):
        holders = yield from _read_ahead(keys.lock(name), now_ms)
        if not holders:
            continue
        ttls = yield Pipeline(
            [Command(("HGET", keys.job(job_id), "lock_ttl")) for job_id, _ in holders]
        )
        members = []
        for (job_id, seen), raw in zip(holders, ttls, strict=True):
            end_ms = now_ms + (whole_of(raw, 0) or 0)
            if score_of(seen) > end_ms + SKEW_MS:
                members.append(_Member(job_id, seen, end_ms, keys.lock(name)))
        moved += yield from _move(keys, keys.lock(name), "", members)
        if members:
            first = min(member.to_ms for member in members)
            yield Command(("ZADD", keys.locks(), "XX", "LT", first, name))
    return moved


def read_far_off(keys: Keys) -> Operation[list[str]]:
    """Ids of scheduled jobs that are due later than in a year, or that were made in the future.

    Of those that are due last, at most BATCH.
    """
    now_ms = to_ms((yield from read_time()))
    ahead = yield from _read_ahead(keys.scheduled(), now_ms)
    if not ahead:
        return []
    created = yield Pipeline(
        [Command(("HGET", keys.job(job_id), "created_at")) for job_id, _ in ahead]
    )
    return [
        job_id
        for (job_id, due), raw in zip(ahead, created, strict=True)
        if score_of(due) > now_ms + FAR_OFF // MILLISECOND
        or (whole_of(raw, 0) or 0) > now_ms + SKEW_MS
    ]


_FIELDS = ("state", "reason", "attempt", "started_at", "duration_ms")


def _rewind_due(keys: Keys, now_ms: int) -> Operation[int]:
    ahead = yield from _read_ahead(keys.scheduled(), now_ms)
    if not ahead:
        return 0
    records = yield Pipeline(
        [Command(("HMGET", keys.job(job_id), *_FIELDS)) for job_id, _ in ahead]
    )
    members = list(_due_members(keys, ahead, records, now_ms))
    return (yield from _move(keys, keys.scheduled(), "due", members))


def _due_members(
    keys: Keys,
    ahead: Sequence[tuple[str, bytes]],
    records: Sequence[Sequence[bytes | None]],
    now_ms: int,
) -> Iterator[_Member]:
    for (job_id, seen), (state, reason, attempt, started, duration) in zip(
        ahead, records, strict=True
    ):
        due_ms, started_ms = score_of(seen), whole_of(started, 0) or 0
        if state == JobState.BLOCKED.encode():
            yield _Member(job_id, seen, now_ms, keys.job(job_id))
        elif reason == Reason.UNKNOWN_TASK.encode():
            if due_ms > now_ms + LONGEST_DELAY_MS + SKEW_MS:
                yield _Member(job_id, seen, now_ms, keys.job(job_id))
        elif (whole_of(attempt, 0) or 0) > 0 and started_ms > now_ms + SKEW_MS:
            delay_ms = max(0, due_ms - started_ms - (whole_of(duration, 0) or 0))
            yield _Member(job_id, seen, now_ms + delay_ms, keys.job(job_id))

"""The model of leases: of workers, and of locks with their waiting lines."""

from collections.abc import Sequence
from typing import Any

from jobrunner.model import JobState
from tests.model.arguments import place_of, rows
from tests.model.jobs import first
from tests.model.state import Model, ModelJob, Zset

Texts = Sequence[str]


def enlist(model: Model, keys: Texts, args: Texts) -> int:
    member, ttl, _, *flat = args
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    model.hashes[keys[1]] = model.hashes.get(keys[1], {}) | fields
    model.workers[member] = model.now + int(ttl)
    return model.workers[member]


def know(model: Model, _: Texts, args: Texts) -> int:
    daemon, believed_for, *tasks = args
    forget_ended(model.knowers, model.now + 1)
    model.knowers[daemon] = model.now + int(believed_for)
    model.known[daemon] = set(tasks)
    return model.knowers[daemon]


def renew(model: Model, keys: Texts, args: Texts) -> list[Any]:
    worker, ttl, groups, busy, _ = args[:5]
    if worker not in model.workers:
        return [0, [], []]
    model.workers[worker] = model.now + int(ttl)
    if groups:
        new = {"groups": groups, "busy": busy, "renewed_at": str(model.now)}
        model.hashes[keys[1]] = model.hashes.get(keys[1], {}) | new
    lost = [row[1] for row in rows(args, 5, 4) if not _renew_lock(model, *row)]
    return [1, lost, sorted(model.cancelling)]


def _renew_lock(model: Model, name: str, job_id: str, token: str, ttl: str) -> bool:
    holders, job = model.holders.get(name, {}), model.jobs.get(job_id)
    if job_id not in holders or job is None or str(job.lock_token) != token:
        return False
    holders[job_id] = model.now + int(ttl)
    model.locks[name] = min(holders.values())
    return True


def orphans(model: Model, keys: Texts, args: Texts) -> list[list[Any]]:
    _, dead, must_bury, *_ = args
    model.workers.pop(dead, None)
    if must_bury:
        forget_ended(model.workers, model.now)
    return [
        [index, worker]
        for index, key in enumerate(keys[2:])
        for worker in sorted({entry.holder for entry in model.streams.get(place_of(key), [])})
        if worker and worker not in model.workers
    ]


def forget_ended(leases: Zset, now: int) -> int:
    """Drop those that ended before now; returns how many."""
    ended = [member for member, end in leases.items() if end < now]
    for member in ended:
        del leases[member]
    return len(ended)


def wake(model: Model, keys: Texts, args: Texts) -> str:
    name, waiter, _ = args
    holders, line = model.holders.get(name, {}), model.waiting.get(name, {})
    vanished = forget_ended(holders, model.now)
    if holders:
        model.locks[name] = min(holders.values())
        if not vanished:
            return ""
    if waiter:
        state = model.state_of(waiter)
        if state is JobState.BLOCKED:
            return model.wake(waiter)
        if state is not JobState.QUEUED:
            line.pop(waiter, None)
    if not holders and not line:
        model.locks.pop(name, None)
    return ""


def take(model: Model, job: ModelJob, name: str, slots: int, ttl: int) -> tuple[int, str]:
    """The token, or 0 and the id of a job that is in the way."""
    holders, line = model.holders.setdefault(name, {}), model.waiting.setdefault(name, {})
    if not any(end < model.now for end in model.workers.values()):
        forget_ended(holders, model.now)
    is_holder, held = job.id in holders, len(holders)
    order = sorted(line, key=lambda member: (line[member], member))
    before = order.index(job.id) if job.id in line else len(line)
    if not is_holder and held + before >= slots:
        if order and held < slots:
            model.schedule(order[0], model.now)
        return 0, first(holders) if holders else order[0]
    model.tokens += 1
    holders[job.id] = model.now + ttl
    line.pop(job.id, None)
    model.locks[name] = min(holders.values())
    job.lock, job.lock_token, job.lock_ttl = name, model.tokens, ttl
    if not is_holder and held + 1 < slots and line:
        model.schedule(first(line), model.now)
    return model.tokens, ""


def release(model: Model, job_id: str, name: str, slots: int) -> list[str]:
    """Free a job's slot; returns the waiters whose turn it is."""
    holders, line = model.holders.get(name, {}), model.waiting.get(name, {})
    freed = holders.pop(job_id, None) is not None
    line.pop(job_id, None)
    free = max(int(freed), slots - len(holders))
    order = sorted(line, key=lambda member: (line[member], member))
    if not holders and not order[: max(free, 0)]:
        model.locks.pop(name, None)
    return [model.wake(waiter) for waiter in order[: max(free, 0)]]


def unrenewed(model: Model, keys: Texts, args: Texts) -> list[Any]:
    little, *workers = args
    silent = [
        worker
        for worker, key in zip(workers, keys[2:], strict=True)
        if worker in model.workers and _is_silent(model, worker, key, int(little))
    ]
    soon = model.now + int(little)
    short = [name for name, end in model.locks.items() if end < soon]
    return [silent, sorted(short, key=lambda name: (model.locks[name], name)), model.now]


def _is_silent(model: Model, worker: str, key: str, little: int) -> bool:
    renewed_at = model.hashes.get(key, {}).get("renewed_at")
    if renewed_at is None:  # held up ever since it was enlisted
        return model.now - (model.workers[worker] - 2 * little) > little
    return model.now - int(renewed_at) > little

"""The model of attempts: claim, start, finish, give back. The entry is the fence."""

from collections.abc import Sequence
from typing import Any

from jobrunner.model import JobState
from tests.model import leases
from tests.model.arguments import name_of, place_of, rest_of, rows
from tests.model.state import Model, ModelEntry, ModelJob, Place

Texts = Sequence[str]


def group(model: Model, keys: Texts, args: Texts) -> int:
    places = [place_of(key) for key in keys[1:]]
    made = [place for place in places if place not in model.grouped]
    for place in made:
        model.streams.setdefault(place, [])
    model.grouped |= set(made)
    model.queues |= set(args[1:])
    return len(made)


def add_by_hand(model: Model, key: str, fields: dict[str, str]) -> None:
    model.streams.setdefault(place_of(key), []).append(ModelEntry(fields))


def claim(model: Model, keys: Texts, args: Texts) -> list[Any] | None:
    worker = args[1]
    queues, free, low, normal, rotation = (int(text) for text in args[2:])
    if worker not in model.workers:
        return None
    taken: list[Any] = []
    # The fair share of the lower levels first, then all levels in order.
    for level, most in ((2, low), (1, normal), (0, free), (1, free), (2, free)):
        wanted = min(most, free)
        for step in range(queues):
            index = level * queues + (step + rotation) % queues
            entries = _hand_out(model, place_of(keys[1 + index]), worker, wanted)
            wanted, free = wanted - len(entries), free - len(entries)
            if entries:
                taken.append([index, [[entry.entry_id, _flat(entry)] for entry in entries]])
    return taken


def read_group(model: Model, args: Texts) -> None:
    """A worker's blocking read: at most one entry of each queue and level, whatever its lease."""
    worker = args[2]
    for key in args[args.index("STREAMS") + 1 :]:
        if key != ">":
            _hand_out(model, place_of(rest_of(key)), worker, 1)


def _hand_out(model: Model, place: Place, worker: str, wanted: int) -> list[ModelEntry]:
    # Entries are handed out once, in order; an entry behind a claimed one is not claimed.
    fresh = [entry for entry in model.streams.get(place, []) if not entry.holder][: max(wanted, 0)]
    for entry in fresh:
        entry.holder = worker
    return fresh


def _flat(entry: ModelEntry) -> list[str]:
    return [item for pair in entry.fields.items() for item in pair]


def start(model: Model, keys: Texts, args: Texts) -> list[list[Any]]:
    replies, at = [], 9
    for row in rows(args, 5, 9):
        has_lock = row[5] != "0"
        replies.append(_start_one(model, place_of(keys[at + 1]), args[1], row))
        at += 4 if has_lock else 2
    return replies


def _start_one(model: Model, place: Place, worker: str, row: Texts) -> list[Any]:
    job_id, _, entry_id, attempt, elapsed, slots, lock, ttl, conflict = row
    job = model.jobs.get(job_id)
    if job is None or not job.has(entry_id):
        return ["stale", 0]
    if job_id in model.cancelling:
        return ["cancelled", 0]
    token = 0
    if slots != "0":
        token, holder = leases.take(model, job, lock, int(slots), int(ttl))
        if not token and conflict != "wait":
            return ["locked", holder]
        if not token:
            _block(model, job, place, lock, holder)
            return ["blocked", holder]
    job.state, job.worker, job.attempt = JobState.RUNNING, worker, int(attempt)
    job.started_at = model.now - int(elapsed)
    return ["started", token]


def _block(model: Model, job: ModelJob, place: Place, lock: str, holder: str) -> None:
    if job.entry is not None:
        model.take_out(place, job.entry.entry_id)
    model.tokens += 1
    model.waiting.setdefault(lock, {}).setdefault(job.id, model.tokens)
    if job.state is JobState.RUNNING:
        job.clear("started_at", "worker")
    job.state, job.blocked_since = JobState.BLOCKED, model.now
    job.lock, job.detail = lock, holder


def finish(model: Model, keys: Texts, args: Texts) -> list[Any]:
    key_at, arg_at = 10 + int(args[3]), 5
    woken: list[str] = []
    states, entries = [], []
    for _lot in range(int(args[4])):
        place = place_of(keys[key_at])
        state, attempt, number = args[arg_at : arg_at + 3]
        key_at, arg_at = key_at + 2, arg_at + 3
        for _job in range(int(number)):
            job_id, entry_id, duration, _ = args[arg_at : arg_at + 4]
            also, arg_at = _told(args, arg_at + 3)
            key_at += 3 if "lock" in also else 1
            cron = keys[key_at] if "cron" in also else None
            key_at += "cron" in also
            row = (job_id, entry_id, state, attempt, duration)
            states.append(_finish_one(model, args[2], row, also, cron, woken))
            entries.append((place, entry_id))
    for place, entry_id in entries:
        model.take_out(place, entry_id)
    return [states, woken]


def _told(args: Texts, at: int) -> tuple[dict[str, str], int]:
    """What else there is to tell, by its names, and where the next begins."""
    end = at + 1 + 2 * int(args[at])
    return dict(zip(args[at + 1 : end : 2], args[at + 2 : end : 2], strict=True)), end


def _finish_one(
    model: Model,
    worker: str,
    row: Texts,
    also: dict[str, str],
    cron: str | None,
    woken: list[str],
) -> str:
    job_id, entry_id, state, attempt, duration = row
    reason, delay = also.get("reason"), also.get("retry_delay")
    job = model.jobs.get(job_id)
    if job is None or not job.has(entry_id):
        return ""
    if job.state is JobState.QUEUED and state in ("completed", "failed"):
        job.started_at = model.now - int(duration)
    if job_id in model.cancelling and delay:
        state, reason, delay = "cancelled", None, None
    model.cancelling.discard(job_id)
    if state == "cancelled" and job.cancel_requested not in (None, "1"):
        reason = job.cancel_requested
    job.clear("reason", "result", "error", "detail")
    job.reason, job.result = reason, also.get("result")
    job.error, job.detail = also.get("error"), also.get("detail")
    job.attempt, job.duration_ms, job.worker = int(attempt), int(duration), worker
    if delay:
        _schedule_retry(model, job, int(delay))
    else:
        job.state, job.finished_at = JobState(state), model.now
        model.count(job.task, state)
        if "result_life" in also and job.result:
            job.result_until = model.now + int(also["result_life"])
        woken += model.tell_watchers(job_id)
        if cron:
            _note_end(model, job, cron)
    if "lock" in also:
        woken += leases.release(model, job_id, also["lock"], int(also["slots"]))
    return job.state


def _schedule_retry(model: Model, job: ModelJob, delay: int) -> None:
    job.state, job.due_at, job.progress = JobState.SCHEDULED, model.now + delay, None
    model.schedule(job.id, job.due_at)


def _note_end(model: Model, job: ModelJob, key: str) -> None:
    model.hashes.setdefault(key, {}).update(
        last_id=job.id,
        last_state=job.state,
        last_reason=job.reason or "",
        last_finished_at=str(model.now),
        last_duration_ms=str(job.duration_ms),
    )


def requeue(model: Model, keys: Texts, args: Texts) -> list[str]:
    lost = int(args[1])
    return [
        _requeue_one(model, place_of(keys[4 + 2 * index]), lost, row)
        for index, row in enumerate(rows(args, 3, 7))
    ]


def _requeue_one(model: Model, place: Place, lost: int, row: Texts) -> str:
    job_id, entry_id, _, *numbers = row
    attempts, losses, fence, base = (int(text) for text in numbers)
    if job_id in model.cancelling:
        return "cancelling"
    job = model.jobs.get(job_id)
    is_mine = job is not None and job.has(entry_id)
    model.take_out(place, entry_id)
    if job is None or not is_mine:
        return "stale"
    job.attempt, job.lost, job.fence = attempts + lost, losses + lost, fence + 1
    model.push(job, place, n=job.attempt, lost=job.lost, fence=job.fence, base=base)
    job.state = JobState.QUEUED
    job.clear("started_at", "worker", "progress")
    return "queued"


def park(model: Model, keys: Texts, args: Texts) -> str:
    _, _, job_id, entry_id, first, longest, reason, detail = args
    if job_id in model.cancelling:
        return "cancelling"
    job = model.jobs.get(job_id)
    is_mine = job is not None and job.has(entry_id)
    if job is not None and is_mine and job.state is JobState.RUNNING:
        return "stale"
    model.take_out(place_of(keys[5]), entry_id)
    if job is None or not is_mine:
        return "stale"
    delay = min(int(first) * 2 ** (job.parked or 0), int(longest))
    job.state, job.due_at, job.parked = (
        JobState.SCHEDULED,
        model.now + delay,
        (job.parked or 0) + 1,
    )
    job.reason, job.detail = reason, detail
    model.schedule(job_id, job.due_at)
    leases.forget_ended(model.parked, model.now + 1)
    model.parked[job_id] = job.due_at
    return "parked"


def refuse(model: Model, keys: Texts, args: Texts) -> list[int]:
    worker, task, reason = args[1:4]
    replies = []
    for index, (job_id, entry_id, queue, priority, error) in enumerate(rows(args, 4, 5)):
        place = place_of(keys[4 + 2 * index])
        was_claimed = model.take_out(place, entry_id, only_claimed=True)
        if was_claimed:
            job = ModelJob(job_id, task, queue, priority, model.now, JobState.FAILED)
            job.reason, job.error, job.worker, job.finished_at = reason, error, worker, model.now
            model.jobs[job_id] = job
            model.count(task, job.state)
        replies.append(int(was_claimed))
    return replies


def place(model: Model, keys: Texts, args: Texts) -> list[Any]:
    """Without the streams of all queues: who is busy with what is left to the tests of `why`."""
    job = model.jobs.get(name_of(keys[0]))
    if job is None or job.entry is None:
        return ["", 0, 0, []]
    *higher, own = [model.streams.get(place_of(key), []) for key in keys[1:]]
    if job.entry in own and job.entry.holder:
        return [job.entry.holder, 0, 0, []]
    ahead = [entry for entry in own if not entry.holder and _is_before(entry, job.entry)]
    above = [entry for entries in higher for entry in entries if not entry.holder]
    return ["", min(len(ahead), int(args[1])), len(above), []]


def _is_before(entry: ModelEntry, other: ModelEntry) -> bool:
    first, second = ([int(part) for part in e.entry_id.split("-")] for e in (entry, other))
    return first < second

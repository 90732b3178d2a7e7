"""The model of jobs between their attempts: submit, promote, settle, retry, delete, watch."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobrunner.model import LIVE, TERMINAL, JobState, Reason
from tests.model.arguments import name_of, place_of, rows
from tests.model.state import Model, ModelJob

Texts = Sequence[str]


def submit(model: Model, _: Texts, args: Texts) -> list[str | list[str]]:
    replies = []
    at = 2
    for _lot in range(int(args[0])):
        task, queue, priority, number = args[at : at + 4]
        at += 4
        for _job in range(int(number)):
            job_id, message, more = args[at : at + 3]
            options_at, at = at + 3, at + 3 + 2 * int(more)
            options = dict(zip(args[options_at:at:2], args[options_at + 1 : at : 2], strict=True))
            job = ModelJob(job_id, task, queue, priority, model.now, message=message)
            replies.append(_submit_one(model, job, options))
    return replies


def _submit_one(model: Model, job: ModelJob, options: Mapping[str, str]) -> str | list[str]:
    due, key, after = options.get("due"), options.get("key"), options.get("after")
    if job.id in model.jobs:
        return [job.id, model.jobs[job.id].state]
    if key in model.unique:
        return [model.unique[key], ""]
    if after and after not in model.jobs:
        return [job.id, "no_upstream"]
    job.key, job.cron = key, options.get("cron")
    job.fire_time = int(options["fire_time"]) if "fire_time" in options else None
    if key:
        model.unique[key] = job.id
    if due:
        job.due_at = model.now + int(due[1:]) if due.startswith("+") else int(due)
    if after:
        _wait_for(model, job, after, "completed")
    elif job.due_at is not None and job.due_at > model.now:
        job.state = JobState.SCHEDULED
        model.schedule(job.id, job.due_at)
    else:
        model.push(job, job.place, n=0, lost=0, fence=1, base=0)
    add(model, job)
    return job.state


def add(model: Model, job: ModelJob) -> None:
    model.jobs[job.id] = job
    model.queues.add(job.queue)
    model.last |= {job.task: job.id, "*": job.id}
    model.count(job.task, "submitted")


def _wait_for(model: Model, job: ModelJob, upstream: str, what: str) -> None:
    job.state, job.after, job.awaits, job.blocked_since = (
        JobState.BLOCKED,
        upstream,
        what,
        model.now,
    )
    if model.is_live(upstream):
        model.watchers.setdefault(upstream, set()).add(f"job:{job.id}")
    else:
        model.schedule(job.id, model.now)


def promote(model: Model, keys: Texts, args: Texts) -> list[str]:
    replies, at = [], 3
    for job_id, has_upstream in rows(args, 0, 2):
        upstream = name_of(keys[at + 2]) if has_upstream else None
        replies.append(_promote_one(model, job_id, upstream))
        at += 4 if has_upstream else 2
    return replies


def _promote_one(model: Model, job_id: str, upstream: str | None) -> str:
    if model.due.get(job_id, model.now + 1) > model.now:
        return "idle"
    job = model.jobs.get(job_id)
    if job is None or job.state not in (JobState.SCHEDULED, JobState.BLOCKED):
        del model.due[job_id]
        return "idle"
    if upstream and job.awaits and model.is_live(upstream):
        del model.due[job_id]
        model.watchers.setdefault(upstream, set()).add(f"job:{job_id}")
        return "waiting"
    must_have_completed = upstream is not None and job.awaits == "completed"
    if must_have_completed and model.state_of(upstream or "") is not JobState.COMPLETED:
        return "upstream"
    del model.due[job_id]
    if job.state is JobState.BLOCKED:
        job.clear("awaits", "detail", "blocked_since")
    elif job.reason == Reason.UNKNOWN_TASK:
        job.clear("reason", "detail")
    job.state, job.fence = JobState.QUEUED, (job.fence or 1) + 1
    model.push(
        job,
        job.place,
        n=job.attempt or 0,
        lost=job.lost or 0,
        fence=job.fence,
        base=job.base or 0,
    )
    return "promoted"


def settle(model: Model, keys: Texts, args: Texts) -> list[Any]:
    _, job_id, state, reason, detail, only_if, has_lock, has_cron = args
    job = model.jobs.get(job_id)
    if job is None:
        return ["gone"]
    if job.state in TERMINAL:
        return ["terminal", job.state]
    if only_if and job.state != only_if:
        return ["moved", job.state]
    entry = job.entry
    if entry is not None and entry.holder and entry in model.streams.get(job.place, []):
        model.cancelling.add(job_id)
        job.cancel_requested = reason or "1"
        return ["claimed", entry.holder]
    if entry is not None:
        model.take_out(job.place, entry.entry_id)
    woken = _leave_lock(model, job, name_of(keys[10])) if has_lock else []
    model.due.pop(job_id, None)
    before = job.state
    model.cancelling.discard(job_id)
    job.clear("blocked_since")
    job.state, job.finished_at = JobState(state), model.now
    job.clear("result", "error")
    job.reason, job.detail = reason or None, detail or None
    model.count(job.task, state)
    if has_cron:
        _note_settled(model, job, keys[-1], reason)
    return ["settled", before, woken + model.tell_watchers(job_id)]


def _leave_lock(model: Model, job: ModelJob, lock: str) -> list[str]:
    """Out of the lock and its line; what it had, or was woken for in vain, is the next one's."""
    was_woken = job.id in model.due or job.state is JobState.QUEUED
    line = model.waiting.get(lock, {})
    was_in_line = line.pop(job.id, None) is not None
    was_holder = model.holders.get(lock, {}).pop(job.id, None) is not None
    if (was_holder or (was_in_line and was_woken)) and line:
        return [model.wake(first(line))]
    return []


def first(line: dict[str, int]) -> str:
    """As a zset orders them: by score, then by name."""
    return min(line, key=lambda member: (line[member], member))


def _note_settled(model: Model, job: ModelJob, key: str, reason: str) -> None:
    cron = model.hashes.setdefault(key, {})
    if job.awaits == "end" and cron.get("job") == job.id:
        cron["job"] = job.after or ""
    cron |= {"last_id": job.id, "last_state": job.state, "last_reason": reason}
    cron["last_finished_at"] = str(model.now)
    cron.pop("last_duration_ms", None)


def retry(model: Model, keys: Texts, args: Texts) -> str:
    job_id, seen = args
    job = model.jobs.get(job_id)
    if job is None:
        return ""
    if job.state == seen and job.message is None:
        return "unreadable"
    if job.state != seen:
        return job.state
    job.state, job.fence, job.lost = JobState.QUEUED, (job.fence or 1) + 1, 0
    job.base = job.attempt or 0
    model.push(job, place_of(keys[1]), n=job.base, lost=0, fence=job.fence, base=job.base)
    job.clear("reason", "result", "error", "detail", "due_at", "started_at", "finished_at")
    job.clear("duration_ms", "worker", "progress", "cancel_requested", "awaits", "result_until")
    return "queued"


def delete(model: Model, keys: Texts, args: Texts) -> list[str]:
    replies = []
    for index, job_id in enumerate(args):
        job = model.jobs.get(job_id)
        if job is None:
            replies.append("gone")
        elif job.state in LIVE:
            replies.append(job.state)
        else:
            unique = name_of(keys[5 + 5 * index + 4])
            if model.unique.get(unique) == job_id:
                del model.unique[unique]
            model.watchers.pop(job_id, None)
            del model.jobs[job_id]
            replies.append("deleted")
    return replies


def watch(model: Model, keys: Texts, args: Texts) -> str:
    job_id = name_of(keys[0])
    if model.is_live(job_id):
        model.watchers.setdefault(job_id, set()).add(f"client:{args[0]}")
    return model.state_of(job_id) or ""


def progress(model: Model, keys: Texts, args: Texts) -> int:
    job = model.jobs.get(name_of(keys[0]))
    if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
        return 0
    if (job.fence or 1) != int(args[0]):
        return 0
    job.progress = args[1]
    return 1

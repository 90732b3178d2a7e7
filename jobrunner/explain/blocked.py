"""Why a blocked job does not start yet: another job has the lock, or must end first."""

from datetime import datetime

from jobrunner.explain.model import Answer, Code, Sentence
from jobrunner.explain.words import counted, in_line, is_alive, state_words
from jobrunner.store.facts import JobFacts, Surroundings
from jobrunner.store.leases import WorkerEntry
from jobrunner.store.locks import LockHolder, LockRecord


def explain_blocked(facts: JobFacts) -> Answer:
    if facts.lock is None:
        return _for_job(facts)
    return _for_lock(facts, facts.lock)


def _for_lock(facts: JobFacts, lock: LockRecord) -> Answer:
    """The holder whose lease ends first is named: its slot is the one to be free first."""
    job_id, around = facts.job.id, facts.around
    number = lock.waiting.index(job_id) + 1 if job_id in lock.waiting else None
    known: dict[str, object] = {
        "lock": lock.name,
        "held_by": [holder.job_id for holder in lock.holders],
        "position": number,
        "waiting": len(lock.waiting),
    }
    place: Sentence = (f"; {in_line(number)}",) if number else ()
    if not lock.holders:
        free = f"waits for lock '{lock.name}', which is free now; it is about to be queued"
        return Answer(Code.WAITING_FOR_LOCK, (free,), known)
    holder = lock.holders[0]
    known |= {
        "holder_task": holder.task,
        "held_since": holder.since,
        "lease_ends_at": holder.expires_at,
        "holder_worker": holder.worker or None,
    }
    sentence = (f"waits for lock '{lock.name}', {_held(lock)}", *_holding(holder, around), *place)
    fix = f"`jobrunner why {holder.job_id}` tells how that one goes on"
    return Answer(Code.WAITING_FOR_LOCK, sentence, known, fix)


def _held(lock: LockRecord) -> str:
    first = f"held by {lock.holders[0].job_id}"
    others = len(lock.holders) - 1
    return f"{first} and {counted(others, 'other')}" if others else first


def _holding(holder: LockHolder, around: Surroundings) -> Sentence:
    worker = _worker_of(holder, around)
    if worker is not None:
        since: Sentence = (" since ", holder.since) if holder.since else ()
        return (*since, f" ({holder.task} on {worker.host})")
    until = _until(holder.expires_at, around.now)
    if not holder.worker:
        return (f" ({holder.task}), which was taken from its worker and is queued again", *until)
    return (f" ({holder.task}), whose worker died", *until)


def _until(end: datetime, now: datetime) -> Sentence:
    if end > now:
        return ("; it keeps the lock until ", end, " at most")
    return ("; the lock is about to be freed",)


def _worker_of(holder: LockHolder, around: Surroundings) -> WorkerEntry | None:
    alive = (worker for worker in around.workers if is_alive(worker, around.now))
    return next((worker for worker in alive if worker.id == holder.worker), None)


def _for_job(facts: JobFacts) -> Answer:
    job, other = facts.job, facts.other
    known = {"after": job.after, "after_state": other.state if other else None}
    if other is None:
        sentence = (f"waits for job {job.after}, whose record is gone",)
        return Answer(
            Code.WAITING_FOR_JOB, sentence, known, f"`jobrunner cancel {job.id}` ends the wait"
        )
    whose = f"the previous job of cron '{job.cron}', " if job.cron else "job "
    state = state_words(other)
    if other.is_terminal:
        state += " just now"
    sentence = (f"waits for the end of {whose}{other.id}, which {state}",)
    return Answer(
        Code.WAITING_FOR_JOB, sentence, known, f"`jobrunner why {other.id}` tells how that one is"
    )

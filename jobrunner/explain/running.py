"""How a running job stands: where, since when, and whether it should have ended."""

import json
from datetime import timedelta

from jobrunner.explain.model import Answer, Code, Sentence
from jobrunner.explain.queued import lost
from jobrunner.explain.words import is_alive
from jobrunner.store.facts import JobFacts

STOPPED_WITHIN = timedelta(seconds=1)  # of its timeout, but for its kill_grace


def explain_running(facts: JobFacts) -> Answer:
    job, now = facts.job, facts.around.now
    worker = next((w for w in facts.around.workers if w.id == job.worker), None)
    timeout = _timeout(facts)
    since = job.started_at or now
    known = {
        "worker": job.worker,
        "host": worker.host if worker else None,
        "started_at": since,
        "running_for_ms": now - since,
        "timeout_ms": timeout,
        "progress": job.progress,
        "lock": job.lock,
        "cancel_requested": job.cancel_requested,
    }
    if worker is None or not is_alive(worker, now):
        return lost(job.worker or "?", known)
    sentence = (f"runs on {worker.host} since ", since, ", for ", now - since, *_attempt(facts))
    if job.cancel_requested:
        return Answer(Code.CANCELLING, (*sentence, "; it was told to stop and is ending"), known)
    if timeout is not None and now - since > timeout + STOPPED_WITHIN:
        late: Sentence = ("; its timeout of ", timeout, " is over and it is being stopped")
        fix = f"after `kill_grace` it is killed; `jobrunner logs {job.id}` prints what it wrote"
        return Answer(Code.OVERDUE, (*sentence, *late), known, fix)
    return Answer(Code.RUNNING, (*sentence, *_progress(facts)), known)


def _timeout(facts: JobFacts) -> timedelta | None:
    seconds = facts.task.timeout_s if facts.task else None
    return None if seconds is None else timedelta(seconds=seconds)


def _attempt(facts: JobFacts) -> Sentence:
    return (f", attempt {facts.job.attempt}",) if facts.job.attempt > 1 else ()


def _progress(facts: JobFacts) -> Sentence:
    progress = facts.job.progress
    if progress is None:
        return ()
    text = progress if isinstance(progress, str) else json.dumps(progress, ensure_ascii=False)
    return (f"; its progress: {text}",)

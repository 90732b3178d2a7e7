"""Why a scheduled job does not start yet: its time has not come."""

from datetime import datetime

from jobrunner.explain.model import Answer, Code, Sentence
from jobrunner.explain.words import error_words
from jobrunner.model import Job, Reason
from jobrunner.store.facts import JobFacts


def explain_scheduled(facts: JobFacts) -> Answer:
    job, now = facts.job, facts.around.now
    due = job.due_at or now
    known: dict[str, object] = {"due_at": due}
    if job.reason is Reason.UNKNOWN_TASK:
        return _parked(facts, known)
    if job.reason is not None:
        return _retry(job, due, now, known)
    if job.cron is not None:
        why: Sentence = (f", since jitter spreads the jobs of cron '{job.cron}'",)
    else:
        why = (", as it was submitted with a delay",)
    return Answer(Code.NOT_DUE, (*_due(due, now), *why), known)


def _parked(facts: JobFacts, known: dict[str, object]) -> Answer:
    name = facts.job.task
    sentence = (f"waits for a worker that knows task '{name}'; the last that took it does not",)
    fix = "`jobrunner status` lists the daemons and their manifests; reload those that are behind"
    return Answer(Code.UNKNOWN_TASK, sentence, {**known, "declared": facts.task is not None}, fix)


def _retry(job: Job, due: datetime, now: datetime, known: dict[str, object]) -> Answer:
    sentence: Sentence = (
        f"waits to retry: attempt {job.attempt} failed with {error_words(job)}; the next one ",
        *_due(due, now),
    )
    error = job.error.message if job.error else None
    fix = f"`jobrunner logs {job.id}` prints what it wrote; `jobrunner cancel {job.id}` gives up"
    return Answer(Code.WAITING_TO_RETRY, sentence, {**known, "last_error": error}, fix)


def _due(due: datetime, now: datetime) -> Sentence:
    if due > now:
        return ("is not due until ", due, ", in ", due - now)
    return ("is due since ", due, " and is about to be queued")

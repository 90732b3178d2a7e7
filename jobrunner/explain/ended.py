"""Why a job ended as it did, and what can be done about it."""

from jobrunner.explain.model import Answer, Code, Sentence
from jobrunner.explain.words import error_words, state_words
from jobrunner.model import Job, JobState, Reason
from jobrunner.store.facts import JobFacts

_CODES = {
    JobState.COMPLETED: Code.COMPLETED,
    JobState.FAILED: Code.FAILED,
    JobState.SKIPPED: Code.SKIPPED,
    JobState.CANCELLED: Code.CANCELLED,
}


def explain_ended(facts: JobFacts) -> Answer:
    job = facts.job
    known = {
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "duration_ms": job.duration,
        "worker": job.worker,
        "lock": job.lock,
        "detail": job.detail,
        "error": error_words(job) if job.error else None,
    }
    if job.state is JobState.COMPLETED:
        return Answer(Code.COMPLETED, ("completed", *_when(job), *_took(job)), known)
    if job.state is JobState.CANCELLED:
        return Answer(Code.CANCELLED, _cancelled(job), known, _again(job))
    words, fix = _why(facts)
    verb = "was skipped" if job.state is JobState.SKIPPED else "failed"
    sentence = (verb, *_when(job), *_attempts(job), ": ", *words)
    return Answer(_CODES[job.state], sentence, known, fix)


def _when(job: Job) -> Sentence:
    return (" at ", job.finished_at) if job.finished_at else ()


def _took(job: Job) -> Sentence:
    took: Sentence = (" after ", job.duration) if job.duration is not None else ()
    return (*took, *_attempts(job))


def _attempts(job: Job) -> Sentence:
    return (f", in attempt {job.attempt}",) if job.attempt > 1 else ()


def _again(job: Job) -> str:
    return f"`jobrunner retry {job.id}` runs it again"


def _cancelled(job: Job) -> Sentence:
    if job.reason is Reason.REPLACED:
        why = f": overlap policy 'replace' let the next job of cron '{job.cron}' take its place"
    else:
        why = ", as a user or program asked for it"
    begun = " while it ran" if job.attempt or job.started_at else " before it began"
    return ("was cancelled", *_when(job), f"{begun}{why}")


def _why(facts: JobFacts) -> tuple[Sentence, str]:
    """The reason in words, and the fix."""
    job = facts.job
    explain = _REASONS.get(job.reason or Reason.ERROR)
    if explain is None:
        return (str(job.reason),), _again(job)
    return explain(facts)


def _error(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    fix = f"`jobrunner logs {job.id}` prints what it wrote; {_again(job)}"
    return (error_words(job),), fix


def _timeout(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    fix = f"raise `timeout` of task '{job.task}', or see where it hangs: `jobrunner logs {job.id}`"
    took: Sentence = (" after ", job.duration) if job.duration is not None else ()
    return ("its timeout was over, and it was stopped", *took), fix


def _lost(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    words = "its worker or process died while it ran, as often as `max_lost` allows"
    fix = (
        "look for what kills it: memory, `limits`, a crash in a library; "
        f"`jobrunner logs {job.id}` prints what it wrote; {_again(job)}"
    )
    return (words,), fix


def _unknown_task(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    fix = f"declare '{job.task}' in the manifest and run `jobrunner reload`; then {_again(job)}"
    return (f"the worker that took it has no task '{job.task}' in its manifest",), fix


def _invalid_arguments(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    message = job.error.message if job.error else "they do not fit the task's parameters"
    fix = f"submit it again with arguments that fit; `jobrunner show {job.id}` prints these"
    return (f"its arguments are not valid: {message}",), fix


def _upstream(facts: JobFacts) -> tuple[Sentence, str]:
    job, other = facts.job, facts.other
    state = f", which {state_words(other)}" if other else ""
    fix = f"`jobrunner why {job.detail}` says why; retry that one first, then this one"
    return (f"it was to begin after {job.detail} has completed{state}",), fix


def _locked(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    held = f"lock '{job.lock}'" if job.lock else "its lock"
    fix = f"`conflict: wait` in the task's lock lets such jobs wait; {_again(job)}"
    return (f"{held} was held by {job.detail}{_now(facts)}",), fix


def _overlap(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    words = f"the previous job of cron '{job.cron}', {job.detail}, had not ended{_now(facts)}"
    fix = f"`overlap: queue` lets such jobs wait; {_again(job)}"
    return (words,), fix


def _now(facts: JobFacts) -> str:
    """How the job that was in the way stands by now."""
    other = facts.other
    return f" ({other.task}, which {state_words(other)} by now)" if other else ""


def _misfire(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    words = f"{job.detail} were noticed too late, and the misfire policy did not ask for them"
    fix = f"`misfire: all` of cron '{job.cron}' catches up on them; {_again(job)}"
    return (words,), fix


def _taken(facts: JobFacts) -> tuple[Sentence, str]:
    job = facts.job
    words = f"{job.detail}, which is not of cron '{job.cron}', had the id of its fire time"
    return (words,), f"stop the program that gives jobs such ids; {_again(job)}"


_REASONS = {
    Reason.ERROR: _error,
    Reason.TIMEOUT: _timeout,
    Reason.LOST: _lost,
    Reason.UNKNOWN_TASK: _unknown_task,
    Reason.INVALID_ARGUMENTS: _invalid_arguments,
    Reason.UPSTREAM: _upstream,
    Reason.LOCKED: _locked,
    Reason.OVERLAP: _overlap,
    Reason.MISFIRE: _misfire,
    Reason.TAKEN: _taken,
}

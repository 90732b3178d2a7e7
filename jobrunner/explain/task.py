"""What the jobs of a task are doing, and what the oldest of them waits for."""

from jobrunner.explain.job import explain_job
from jobrunner.explain.model import (
    NOBODY,
    START_IT,
    Code,
    Explanation,
    Kind,
    Sentence,
    joined,
)
from jobrunner.explain.words import error_words, listed, state_words
from jobrunner.model import Job, JobState
from jobrunner.store.facts import TaskFacts

_ORDER = (JobState.RUNNING, JobState.QUEUED, JobState.BLOCKED, JobState.SCHEDULED)


def explain_task(facts: TaskFacts) -> Explanation:
    """One sentence on a task's live jobs, or on its last one, and the facts behind it."""
    oldest = explain_job(facts.oldest) if facts.oldest else None
    code = _code(facts)
    clauses: list[Sentence] = [(f"task '{facts.name}' {_live(facts)}",)]
    if oldest is not None:
        clauses.append(("the oldest that waits: ", *oldest.sentence))
    elif code is Code.DAEMON_NOT_RUNNING:
        clauses.append((NOBODY,))
    else:
        clauses.append(_last(facts))
    return Explanation(
        facts.name,
        Kind.TASK,
        code,
        joined(clauses),
        _known(facts, oldest),
        facts.around.now,
        _fix(facts, code, oldest),
    )


def _known(facts: TaskFacts, oldest: Explanation | None) -> dict[str, object]:
    ended = facts.last_ended
    return {
        "declared": facts.task is not None,
        **{str(state): number for state, number in facts.counts.items()},
        "last_submitted": facts.last_submitted,
        "ended_last": ended.id if ended else None,
        "ended_last_state": ended.state if ended else None,
        "ended_last_at": ended.finished_at if ended else None,
        "oldest_waiting": oldest.subject if oldest else None,
        "oldest_waiting_code": oldest.code if oldest else None,
    }


def _fix(facts: TaskFacts, code: Code, oldest: Explanation | None) -> str | None:
    if code is Code.DAEMON_NOT_RUNNING:
        return START_IT
    if code is Code.NEVER_SUBMITTED and facts.task is not None:
        return f"`jobrunner submit {facts.name}` submits one"
    return oldest.fix if oldest else None


def _had_jobs(facts: TaskFacts) -> bool:
    return facts.last_submitted is not None or facts.last_ended is not None


def _code(facts: TaskFacts) -> Code:
    if not any(facts.counts.values()):
        return Code.IDLE if _had_jobs(facts) else Code.NEVER_SUBMITTED
    if not facts.around.daemons:
        return Code.DAEMON_NOT_RUNNING
    return Code.RUNNING if facts.counts[JobState.RUNNING] else Code.WAITING


def _live(facts: TaskFacts) -> str:
    """`has 1 running and 3 queued jobs`; begins with a remark on a task that is gone."""
    remark = "" if facts.task else "is not in the manifest published last; it "
    shown = [f"{facts.counts[state]} {state}" for state in _ORDER if facts.counts[state]]
    if shown:
        noun = "job" if sum(facts.counts.values()) == 1 else "jobs"
        return f"{remark}has {listed(shown)} {noun}"
    if _had_jobs(facts):
        return f"{remark}has no job that waits or runs"
    return f"{remark}has never had a job"


def _last(facts: TaskFacts) -> Sentence:
    job = facts.last_ended
    if job is None:
        return ()
    at: Sentence = (" at ", job.finished_at) if job.finished_at else ()
    return (f"its last job, {job.id}, {_outcome(job)}", *at)


def _outcome(job: Job) -> str:
    if job.state is JobState.FAILED:
        return f"failed ({error_words(job)})"
    if job.state is JobState.SKIPPED:
        return f"was skipped ({job.reason})"
    return state_words(job)

"""Why a job is where it is."""

from jobrunner.explain.blocked import explain_blocked
from jobrunner.explain.ended import explain_ended
from jobrunner.explain.model import Explanation, Kind, without_daemon
from jobrunner.explain.queued import explain_queued
from jobrunner.explain.running import explain_running
from jobrunner.explain.scheduled import explain_scheduled
from jobrunner.model import JobState
from jobrunner.store.facts import JobFacts

_LIVE = {
    JobState.SCHEDULED: explain_scheduled,
    JobState.BLOCKED: explain_blocked,
    JobState.QUEUED: explain_queued,
    JobState.RUNNING: explain_running,
}


def explain_job(facts: JobFacts) -> Explanation:
    """One sentence on a job in any state, and the facts behind it."""
    job = facts.job
    answer = _LIVE.get(job.state, explain_ended)(facts)
    if not job.is_terminal and not facts.around.daemons:
        answer = without_daemon(answer)
    known = {
        "task": job.task,
        "state": job.state,
        "reason": job.reason,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": job.attempt,
        "cron": job.cron,
        "fire_time": job.fire_time,
        "created_at": job.created_at,
        **answer.facts,
    }
    return Explanation(
        job.id,
        Kind.JOB,
        answer.code,
        (f"job {job.id} ({job.task}) ", *answer.sentence),
        known,
        facts.around.now,
        answer.fix,
    )

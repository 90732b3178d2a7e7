"""What a job's end means for whoever waited for it."""

from collections.abc import Sequence
from typing import Any

from jobrunner.errors import JobFailed, JobTimeout
from jobrunner.model import Job, JobState
from jobrunner.store.records import job_not_found

_FIXES = {
    JobState.FAILED: "`jobrunner logs {id}` prints its output; `jobrunner retry {id}` repeats it",
    JobState.SKIPPED: "`jobrunner why {id}` tells what was in its way",
    JobState.CANCELLED: "`jobrunner retry {id}` runs it again",
}


def result_of(job_id: str, ended: Sequence[Job]) -> Any:
    """The result of one job that was waited for; none is left when its record is gone.

    Raises JobFailed when it did not complete, and JobNotFound.
    """
    if not ended:
        raise job_not_found(job_id)
    [job] = ended
    if job.state is not JobState.COMPLETED:
        raise job_failed(job)
    return job.result


def job_failed(job: Job) -> JobFailed:
    """The error of a job that ended otherwise than completed."""
    words = {JobState.SKIPPED: "was skipped", JobState.CANCELLED: "was cancelled"}
    what = f"job {job.id} of task {job.task!r} {words.get(job.state, job.state)}"
    if job.error is not None:
        what += f": {job.error.type}: {job.error.message}"
    elif job.reason is not None:
        what += f": {job.reason}"
    why = f"{job.reason}: {job.detail}" if job.reason and job.detail else None
    return JobFailed(what, job=job, why=why, fix=_FIXES[job.state].format(id=job.id))


def job_timeout(job_ids: Sequence[str], timeout: float | None) -> JobTimeout:
    """The error for jobs that had not ended within `timeout` seconds."""
    shown = ", ".join(job_ids[:3]) + (", …" if len(job_ids) > 3 else "")
    noun = "job" if len(job_ids) == 1 else f"{len(job_ids)} jobs"
    return JobTimeout(
        f"{noun} {shown} had not ended after {timeout:g} s",
        why="the wait is over, the job goes on" if len(job_ids) == 1 else "the jobs go on",
        fix=f"wait longer, or see what it waits for with `jobrunner why {job_ids[0]}`",
    )

"""Cancelling a job, wherever it is."""

from jobrunner.errors import IllegalTransition
from jobrunner.model import JobState, Reason
from jobrunner.store.due import promote
from jobrunner.store.keys import Keys
from jobrunner.store.records import STATES, job_not_found, read_job
from jobrunner.store.requests import Command, Operation, Script
from jobrunner.store.settling import Settled, Settlement, settle

CONTROL_TTL_S = 3600  # of a control list whose worker has gone


def cancel(keys: Keys, job_id: str, reason: Reason | None = None) -> Operation[Settlement]:
    """Cancel a job: at once when it waits, else through its worker's control list.

    The wish is also in the store, where the worker's next heartbeat finds it, so a caller that
    dies in between, or a worker that reconnects, misses nothing. Wait for the end with `watch`.
    Raises JobNotFound, and IllegalTransition for a job that has ended.
    """
    outcome = yield from settle(keys, job_id, JobState.CANCELLED, reason)
    if outcome.what is Settled.CLAIMED:
        control = keys.control(outcome.detail)
        yield Script("tell", [control], [job_id, CONTROL_TTL_S])
    elif outcome.what is Settled.SETTLED:
        yield from promote(keys, outcome.woken)
    elif outcome.what is Settled.GONE:
        raise job_not_found(job_id)
    elif outcome.what is Settled.TERMINAL:
        job = yield from read_job(keys, job_id)
        ended = f"{job.finished_at:%H:%M:%S} UTC" if job.finished_at else "an unknown time"
        # By now it may have been queued again.
        before = STATES.get(outcome.detail.encode(), job.state)
        raise IllegalTransition(
            f"cannot cancel job {job_id}: it {_ENDED_AS[before]} at {ended}",
            fix=f"nothing to do; `jobrunner show {job_id}` prints its result",
        )
    return outcome


def cancel_unclaimed(keys: Keys) -> Operation[list[str]]:
    """Cancel the jobs that shall be cancelled and that no worker has; returns their ids.

    `fire.lua` notes the wish of overlap policy `replace`, and the scheduler's next step cancels the
    job. Killed in between it leaves a job that waits to run, and one that waits for its end.
    """
    cancelled = []
    for member in (yield Command(("SMEMBERS", keys.cancelling()))):
        job_id = member.decode(errors="replace")
        wish = yield Command(("HGET", keys.job(job_id), "cancel_requested"))
        reason = Reason.REPLACED if wish == Reason.REPLACED.encode() else None
        outcome = yield from settle(keys, job_id, JobState.CANCELLED, reason)
        if outcome.what is Settled.SETTLED:
            cancelled.append(job_id)
            yield from promote(keys, outcome.woken)
    return cancelled


_ENDED_AS = {
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.SKIPPED: "was skipped",
    JobState.CANCELLED: "was cancelled",
}

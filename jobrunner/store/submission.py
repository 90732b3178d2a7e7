"""Submitting jobs, and submitting finished ones again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter

import msgspec

from jobrunner.clock import to_ms
from jobrunner.errors import IllegalTransition, UsageError
from jobrunner.model import Job, JobState, Priority
from jobrunner.store.damage import FIX
from jobrunner.store.decoding import text_of
from jobrunner.store.failures import DamagedKey
from jobrunner.store.keys import Keys
from jobrunner.store.records import STATES, job_not_found, read_job
from jobrunner.store.requests import Argument, Operation, Script, Series, portions

BATCH = 500  # jobs per script call: enough to be cheap, and under 10 ms of the server's time


# One of each per job: a structure is made in a fraction of the time of a frozen dataclass.
class Submission(msgspec.Struct, frozen=True, gc=False):
    """A job to be made. The client makes the id, so that a lost reply can be answered by repeating.

    `delay` counts from the store's clock, `due_at` is absolute (aware); at most one of
    `delay`, `due_at` and `after` (the id of an upstream job) may be given.
    """

    id: str
    task: str
    message: bytes
    queue: str = "default"
    priority: Priority = Priority.NORMAL
    delay: timedelta | None = None
    due_at: datetime | None = None
    key: str | None = None
    after: str | None = None
    cron: str | None = None
    fire_time: datetime | None = None  # of the cron, for which a backfill makes it

    def __post_init__(self) -> None:
        if (self.delay is not None) + (self.due_at is not None) + (self.after is not None) > 1:
            raise UsageError(
                "a job can have only one of a delay, a due time and an upstream job",
                fix="submit it with one of them",
            )

    def options(self) -> list[Argument]:
        """What else than most jobs have, as `submit.lua` wants it: names and values in turn."""
        found: list[Argument] = []
        if self.delay is not None:
            found += ["due", f"+{max(0, round(self.delay / timedelta(milliseconds=1)))}"]
        if self.due_at is not None:
            found += ["due", to_ms(self.due_at)]
        if self.key:
            found += ["key", self.key]
        if self.after:
            found += ["after", self.after]
        if self.cron:
            found += ["cron", self.cron]
        if self.fire_time is not None:
            found += ["fire_time", to_ms(self.fire_time)]
        return found


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """What became of a submission. `is_new` is false when its id or key was known: then `id` is
    the earlier job's, and `state` is None for a known key."""

    id: str
    task: str
    state: JobState | None
    is_new: bool


def submit(keys: Keys, submissions: Sequence[Submission]) -> Operation[list[Submitted]]:
    """Make the jobs; safe to repeat. Raises JobNotFound for an unknown upstream job.

    The other jobs of its batch are made.
    """
    batches = list(portions(submissions, lambda item: len(item.message), BATCH))
    if not batches:
        return []
    if len(batches) == 1:  # what most submits are needs no series, which costs a task
        replies = [(yield _submit_script(keys, submissions))]
    else:
        replies = yield Series(_submit_script(keys, batch) for batch in batches)
    answered = zip(submissions, chain.from_iterable(replies), strict=True)
    return [_submitted(item, reply) for item, reply in answered]


def _submitted(submission: Submission, reply: bytes | list[bytes]) -> Submitted:
    """Raises JobNotFound."""
    if isinstance(reply, bytes):
        return Submitted(submission.id, submission.task, STATES[reply], is_new=True)
    job_id, state = reply
    if state == b"no_upstream":
        raise job_not_found(submission.after or "")
    if state == b"damaged":
        raise _damaged(f"cannot submit to task {submission.task!r}", submission.queue)
    return Submitted(text_of(job_id), submission.task, STATES.get(state), is_new=False)


def _damaged(what: str, queue: str) -> DamagedKey:
    return DamagedKey(
        f"{what}: what it needs is damaged",
        why=f"something else has written to queue {queue!r} or the job's record",
        fix=FIX,
    )


def _submit_script(keys: Keys, batch: Sequence[Submission]) -> Script:
    names = [keys.counts(), keys.queues(), keys.last_job(), keys.scheduled(), keys.blocked()]
    args: list[Argument] = []
    lots = 0
    for (task, queue, priority), alike in groupby(batch, attrgetter("task", "queue", "priority")):
        lot = list(alike)
        lots += 1
        names.append(keys.queue(queue, priority))
        args += [task, queue, priority, len(lot)]
        for item in lot:
            _add(keys, item, names, args)
    names += (keys.full(), keys.tally())
    return Script("submit", names, [lots, keys.wake_channel(), *args])


def _add(keys: Keys, item: Submission, names: list[str], args: list[Argument]) -> None:
    names.append(keys.job(item.id))
    if item.key:
        names.append(keys.unique(item.key))
    if item.after:
        names += [keys.job(item.after), keys.watchers(item.after)]
    options = item.options()
    args += [item.id, item.message, len(options) // 2, *options]


def retry_job(keys: Keys, job_id: str) -> Operation[Job]:
    """Queue a finished job again; its retry policy starts anew. Returns the job as it was.

    Raises JobNotFound, IllegalTransition for a job that has not ended, and DamagedKey.
    """
    job = yield from read_job(keys, job_id)
    state: str = job.state
    if job.is_terminal:
        state = (yield _retry_script(keys, job)).decode()
    if not state:
        raise job_not_found(job_id)
    if state == "damaged":
        raise _damaged(f"cannot retry job {job_id}", job.queue)
    if state == "unreadable":
        raise IllegalTransition(
            f"cannot retry job {job_id}: what it was asked to do could not be read",
            why="it records a damaged entry of a queue",
            fix="submit the job again",
        )
    if state != JobState.QUEUED or not job.is_terminal:
        raise IllegalTransition(
            f"cannot retry job {job_id}: it is {state}",
            why="only a job that has ended can be retried",
            fix=f"`jobrunner cancel {job_id}` ends it first",
        )
    return job


def _retry_script(keys: Keys, job: Job) -> Script:
    names = [
        keys.job(job.id),
        keys.queue(job.queue, job.priority),
        keys.done(job.state),
        keys.task_done(job.task),
        keys.counts(),
        keys.results(),
    ]
    return Script("retry", names, [job.id, job.state])

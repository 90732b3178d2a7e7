"""What `why` must know of a job, a cron or a task, read in few round trips."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from jobrunner.clock import from_ms
from jobrunner.model import LIVE, Job, JobState, Priority, Reason
from jobrunner.store.attempts import read_streams
from jobrunner.store.crons import CronRecord, read_crons
from jobrunner.store.damage import count_of
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.leases import DaemonEntry, WorkerEntry, read_daemons, read_workers
from jobrunner.store.locks import LockRecord, read_lock
from jobrunner.store.published import PublishedCron, PublishedTask, read_published_task
from jobrunner.store.records import read_job, read_jobs
from jobrunner.store.requests import Command, Operation, Pipeline, Script
from jobrunner.store.together import together

COUNTED = 1000  # jobs ahead in line that are counted: nobody needs to know how many more there are
LOOKED_AT = 200  # oldest ids per index among which waiting jobs of a cron or task are looked for
SKIPS_IN = 50  # newest ended jobs of a task among which a cron's last skip is looked for
WAITING = LIVE - {JobState.RUNNING}


class Surroundings(msgspec.Struct, frozen=True):
    """Who could run jobs, at one instant of the store's clock."""

    now: datetime
    daemons: list[DaemonEntry]
    workers: list[WorkerEntry]  # also those whose lease has ended


class Place(msgspec.Struct, frozen=True):
    """Where a queued job stands. `ahead` stops at COUNTED."""

    worker: str | None  # that has claimed it; then nothing is ahead
    ahead: int = 0  # jobs that wait before it, with its priority
    above: int = 0  # jobs that wait with a higher priority
    claimed: Mapping[str, int] = msgspec.field(
        default_factory=dict
    )  # worker -> jobs that it has now


class JobFacts(msgspec.Struct, frozen=True):
    """A job with all that its waiting, or its end, may be due to; None for what it is not."""

    job: Job
    around: Surroundings
    task: PublishedTask | None = None  # None: no daemon has published it
    lock: LockRecord | None = None  # that it waits for
    other: Job | None = None  # the job it waits for, or that was in its way
    place: Place | None = None  # of a queued job


class CronFacts(msgspec.Struct, frozen=True):
    """A cron with its jobs: the one made last, those that wait or run, and the last skip."""

    cron: PublishedCron
    record: CronRecord
    around: Surroundings
    made_last: Job | None = None
    live: tuple[Job, ...] = ()  # the oldest first
    last_skip: Job | None = None
    oldest: JobFacts | None = None  # of those that wait


class TaskFacts(msgspec.Struct, frozen=True):
    """A task with its counts, the job that has waited longest and the one that ended last."""

    name: str
    task: PublishedTask | None
    around: Surroundings
    counts: dict[JobState, int]
    last_submitted: str | None = None
    last_ended: Job | None = None
    oldest: JobFacts | None = None


def read_surroundings(keys: Keys) -> Operation[Surroundings]:
    """The store's time, daemons and workers."""
    now, daemons, workers = yield from together(
        _read_time(keys), read_daemons(keys), read_workers(keys)
    )
    return Surroundings(now, daemons, workers)


def _read_time(_keys: Keys) -> Operation[datetime]:
    seconds, micros = yield Command(("TIME",))
    return from_ms(int(seconds) * 1000 + int(micros) // 1000)


def read_job_facts(keys: Keys, job_id: str) -> Operation[JobFacts]:
    """Three round trips. Raises JobNotFound."""
    job = yield from read_job(keys, job_id)
    around, task, lock, other, place = yield from together(
        read_surroundings(keys),
        read_published_task(keys, job.task),
        _read_awaited_lock(keys, job),
        _read_other(keys, job),
        _read_place(keys, job),
    )
    return JobFacts(job, around, task, lock, other, place)


def _read_awaited_lock(keys: Keys, job: Job) -> Operation[LockRecord | None]:
    # The name of the lock is written when the job first asks for it, after any wait for a job.
    if job.state is not JobState.BLOCKED or job.lock is None:
        return None
    return (yield from read_lock(keys, job.lock))


def _read_other(keys: Keys, job: Job) -> Operation[Job | None]:
    other_id = None
    if job.state is JobState.BLOCKED:
        other_id = job.after
    elif job.reason in (Reason.LOCKED, Reason.OVERLAP, Reason.UPSTREAM):
        other_id = job.detail
    jobs = yield from read_jobs(keys, [other_id] if other_id else [])
    return jobs[0] if jobs else None


def _read_place(keys: Keys, job: Job) -> Operation[Place | None]:
    if job.state is not JobState.QUEUED:
        return None
    levels = list(Priority)
    levels = levels[: levels.index(job.priority) + 1]
    own = [keys.queue(job.queue, level) for level in levels]
    names = [keys.job(job.id), *own, *(yield from read_streams(keys))]
    worker, ahead, above, claims = yield Script(
        "place", names, [GROUP, COUNTED, len(own)], reads_only=True
    )
    numbers = zip(claims[::2], claims[1::2], strict=True)
    return Place(text_of(worker) or None, ahead, above, {text_of(w): n for w, n in numbers})


def read_cron_facts(keys: Keys, cron: PublishedCron) -> Operation[CronFacts]:
    """Eight round trips at most."""
    [record], around, waiting, done = yield from together(
        read_crons(keys, [cron.name]),
        read_surroundings(keys),
        _waiting_ids(keys),
        _newest(keys.task_done(cron.task), SKIPS_IN),
    )
    own = [i for i in dict.fromkeys([*waiting, *done]) if i.startswith(f"{cron.name}@")]
    jobs = yield from read_jobs(keys, own if record.job in (None, *own) else [*own, record.job])
    live = sorted((job for job in jobs if not job.is_terminal), key=_age)
    skips = [job for job in jobs if job.state is JobState.SKIPPED]
    return CronFacts(
        cron,
        record,
        around,
        made_last=next((job for job in jobs if job.id == record.job), None),
        live=tuple(live),
        last_skip=max(skips, key=lambda job: job.finished_at or job.created_at, default=None),
        oldest=(yield from _facts_of_first(keys, live)),
    )


def read_task_facts(keys: Keys, name: str, task: PublishedTask | None) -> Operation[TaskFacts]:
    """Eight round trips at most."""
    around, counts, last, done, waiting = yield from together(
        read_surroundings(keys),
        _read_counts(keys, name),
        read_last_submitted(keys, name),
        _newest(keys.task_done(name), 1),
        _waiting_ids(keys),
    )
    ended, live = yield from together(
        read_jobs(keys, done), _read_waiting(keys, name, [*waiting, *([last] if last else [])])
    )
    return TaskFacts(
        name,
        task,
        around,
        counts,
        last_submitted=last,
        last_ended=ended[0] if ended else None,
        oldest=(yield from _facts_of_first(keys, live)),
    )


def _read_counts(keys: Keys, task: str) -> Operation[dict[JobState, int]]:
    states = [state for state in JobState if state in LIVE]
    fields = [f"{state}:{task}" for state in states]
    numbers = yield Command(("HMGET", keys.counts(), *fields))
    return {state: count_of(number) for state, number in zip(states, numbers, strict=True)}


def read_last_submitted(keys: Keys, task: str) -> Operation[str | None]:
    """Id of the job of a task that was submitted last; its record may be gone."""
    last: bytes | None = yield Command(("HGET", keys.last_job(), task))
    return text_of(last) if last else None


def _newest(key: str, count: int) -> Operation[list[str]]:
    return [text_of(item) for item in (yield Command(("ZRANGE", key, 0, count - 1, "REV")))]


def _waiting_ids(keys: Keys) -> Operation[list[str]]:
    """Ids of scheduled, blocked and queued jobs, the oldest of each index; some may run by now."""
    streams = yield from read_streams(keys)
    indexes = (keys.scheduled(), keys.blocked())
    due, blocked, *entries = yield Pipeline(
        [
            *(Command(("ZRANGE", index, 0, LOOKED_AT - 1)) for index in indexes),
            *(Command(("XRANGE", key, "-", "+", "COUNT", LOOKED_AT)) for key in streams),
        ]
    )
    queued = [fields[1] for found in entries for _, fields in found if fields[0] == b"id"]
    return [text_of(item) for item in (*due, *blocked, *queued)]


def _read_waiting(keys: Keys, task: str, job_ids: Sequence[str]) -> Operation[list[Job]]:
    """Those of the jobs that are of the task and wait, the oldest first."""
    ids = list(dict.fromkeys(job_ids))
    if not ids:
        return []
    tasks = yield Pipeline([Command(("HGET", keys.job(job_id), "task")) for job_id in ids])
    own = [i for i, name in zip(ids, tasks, strict=True) if name == task.encode()]
    jobs = yield from read_jobs(keys, own)
    return sorted((job for job in jobs if job.state in WAITING), key=_age)


def _age(job: Job) -> tuple[datetime, str]:
    return job.created_at, job.id


def _facts_of_first(keys: Keys, jobs: Sequence[Job]) -> Operation[JobFacts | None]:
    """Of the first that waits; those that ended meanwhile are explained as such."""
    first = next((job for job in jobs if job.state in WAITING), None)
    return (yield from read_job_facts(keys, first.id)) if first else None

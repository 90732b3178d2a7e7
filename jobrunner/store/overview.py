"""All that `status` shows, read in a few round trips whatever the number of tasks."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from jobrunner.clock import from_ms
from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.crons import CronRecord, read_crons
from jobrunner.store.damage import count_of
from jobrunner.store.decoding import whole_of
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.leases import DaemonEntry, WorkerEntry, read_daemons, read_workers
from jobrunner.store.locks import LockRecord, read_locks
from jobrunner.store.published import Published, PublishedCron, read_published
from jobrunner.store.records import END, read_parts
from jobrunner.store.requests import Command, Operation, Pipeline

USUAL_OF = 9  # the usual duration is the median of so many last jobs: one slow night moves nothing


class LastEnd(msgspec.Struct, frozen=True):
    """How the last job of a task or cron ended."""

    job_id: str
    state: JobState
    reason: Reason | None
    finished_at: datetime | None
    duration: timedelta | None


class LiveCounts(msgspec.Struct, frozen=True):
    """How many jobs of a task are in each live state."""

    scheduled: int = 0
    blocked: int = 0
    queued: int = 0
    running: int = 0


class TaskView(msgspec.Struct, frozen=True):
    """A task: what is going on, and how its last jobs went."""

    name: str
    kind: str  # command, shell, python
    description: str = ""
    last: LastEnd | None = None
    usual_duration: timedelta | None = None
    counts: LiveCounts = LiveCounts()
    lock_holder: str | None = None  # id of a job of this task that has a lock


class CronView(msgspec.Struct, frozen=True):
    """A cron with its task's counts: the jobs of a cron are not counted apart."""

    name: str
    task: str
    schedule: str  # as written
    words: str
    timezone: str
    description: str = ""
    next_fire_at: datetime | None = None
    is_paused: bool = False
    is_enabled: bool = True
    last: LastEnd | None = None
    usual_duration: timedelta | None = None
    counts: LiveCounts = LiveCounts()
    lock_holder: str | None = None


class QueueView(msgspec.Struct, frozen=True):
    """A queue: jobs that wait, by priority, and jobs that workers hold."""

    name: str
    high: int
    normal: int
    low: int
    claimed: int

    @property
    def waiting(self) -> int:
        return self.high + self.normal + self.low


class Overview(msgspec.Struct, frozen=True):
    """One namespace at one instant of the store's clock."""

    name: str
    now: datetime
    daemons: list[DaemonEntry]
    workers: list[WorkerEntry]
    queues: list[QueueView]
    tasks: list[TaskView]
    crons: list[CronView]
    locks: list[LockRecord]


def read_overview(keys: Keys) -> Operation[Overview]:
    """Everything; names in order."""
    time, counts = yield Pipeline([Command(("TIME",)), Command(("HGETALL", keys.counts()))])
    published = yield from read_published(keys)
    locks = yield from read_locks(keys)
    tasks = yield from _read_tasks(keys, published, _counts_of(counts), locks)
    return Overview(
        name=keys.name,
        now=from_ms(int(time[0]) * 1000 + int(time[1]) // 1000),
        daemons=(yield from read_daemons(keys)),
        workers=(yield from read_workers(keys)),
        queues=(yield from read_queues(keys)),
        tasks=tasks,
        crons=(yield from _read_crons(keys, published, tasks)),
        locks=locks,
    )


def read_cron_views(keys: Keys) -> Operation[list[CronView]]:
    """The crons alone, for `crons`."""
    overview = yield from read_overview(keys)
    return overview.crons


def read_queues(keys: Keys) -> Operation[list[QueueView]]:
    """Every queue that was ever declared or submitted to."""
    names = sorted(
        item.decode(errors="replace") for item in (yield Command(("SMEMBERS", keys.queues())))
    )
    streams = [keys.queue(name, level) for name in names for level in Priority]
    if not streams:
        return []
    lengths = yield Pipeline([Command(("XLEN", stream)) for stream in streams])
    sizes = dict(zip(streams, lengths, strict=True))
    claimed = yield from _read_claimed(sizes)
    return [_queue_view(keys, name, sizes, claimed) for name in names]


def _queue_view(keys: Keys, name: str, sizes: dict[str, int], claimed: dict[str, int]) -> QueueView:
    streams = {level: keys.queue(name, level) for level in Priority}
    waiting = {level: sizes[key] - claimed.get(key, 0) for level, key in streams.items()}
    return QueueView(
        name,
        high=waiting[Priority.HIGH],
        normal=waiting[Priority.NORMAL],
        low=waiting[Priority.LOW],
        claimed=sum(claimed.get(key, 0) for key in streams.values()),
    )


def _read_claimed(sizes: dict[str, int]) -> Operation[dict[str, int]]:
    """How many entries of each stream are held by workers."""
    # An empty stream has none: entries are deleted with their ack. XINFO fails for a missing one.
    streams = [stream for stream, size in sizes.items() if size]
    if not streams:
        return {}
    replies = yield Pipeline([Command(("XINFO", "GROUPS", stream)) for stream in streams])
    return {stream: _pending_of(reply) for stream, reply in zip(streams, replies, strict=True)}


def _pending_of(groups: Sequence[Sequence[object]]) -> int:
    """The pending entries of our group in an XINFO GROUPS reply: flat field-value lists."""
    for flat in groups:
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if fields[b"name"] == GROUP.encode():
            return whole_of(fields[b"pending"], 0) or 0
    return 0


def _counts_of(flat: Sequence[bytes]) -> dict[str, LiveCounts]:
    """Per task, from the hash `<state>:<task>` -> number."""
    numbers: dict[str, dict[str, int]] = {}
    for field, number in zip(flat[::2], flat[1::2], strict=True):
        state, _, task = field.decode(errors="replace").partition(":")
        numbers.setdefault(task, {})[state] = count_of(number)
    return {
        task: LiveCounts(
            scheduled=by_state.get(JobState.SCHEDULED, 0),
            blocked=by_state.get(JobState.BLOCKED, 0),
            queued=by_state.get(JobState.QUEUED, 0),
            running=by_state.get(JobState.RUNNING, 0),
        )
        for task, by_state in numbers.items()
    }


def _read_tasks(
    keys: Keys, published: Published, counts: dict[str, LiveCounts], locks: Sequence[LockRecord]
) -> Operation[list[TaskView]]:
    # A task that left the manifest is shown as long as jobs of it are left.
    gone = {task for task, live in counts.items() if live != LiveCounts()} - published.tasks.keys()
    names = sorted(published.tasks.keys() | gone)
    ends = yield from _read_last_ends(keys, names)
    holders = {holder.task: holder.job_id for lock in locks for holder in lock.holders}
    return [
        TaskView(
            name=name,
            kind=published.tasks[name].kind if name in published.tasks else "",
            description=published.tasks[name].description if name in published.tasks else "",
            last=ends[name][0] if ends[name] else None,
            usual_duration=_usual(ends[name]),
            counts=counts.get(name, LiveCounts()),
            lock_holder=holders.get(name),
        )
        for name in names
    ]


def _read_last_ends(keys: Keys, tasks: Sequence[str]) -> Operation[dict[str, list[LastEnd]]]:
    """The last jobs of each task that ended, newest first."""
    if not tasks:
        return {}
    replies = yield Pipeline(
        [Command(("ZRANGE", keys.task_done(task), 0, USUAL_OF - 1, "REV")) for task in tasks]
    )
    ids = {
        task: [item.decode(errors="replace") for item in reply]
        for task, reply in zip(tasks, replies, strict=True)
    }
    jobs = yield from read_parts(keys, [job_id for some in ids.values() for job_id in some], END)
    ends = {
        job.id: LastEnd(job.id, job.state, job.reason, job.finished_at, job.duration)
        for job in jobs
    }
    return {task: [ends[i] for i in some if i in ends] for task, some in ids.items()}


def _usual(ends: Sequence[LastEnd]) -> timedelta | None:
    """The median duration of the completed jobs among them."""
    completed = (end for end in ends if end.state is JobState.COMPLETED)
    durations = sorted(end.duration for end in completed if end.duration)
    # Not statistics.median_low: its import would be a tenth of what `status` takes.
    return durations[(len(durations) - 1) // 2] if durations else None


def _read_crons(
    keys: Keys, published: Published, tasks: Sequence[TaskView]
) -> Operation[list[CronView]]:
    names = sorted(published.crons)
    records = yield from read_crons(keys, names)
    by_name = {task.name: task for task in tasks}
    return [
        _cron_view(
            published.crons[record.name], record, by_name.get(published.crons[record.name].task)
        )
        for record in records
    ]


def _cron_view(cron: PublishedCron, record: CronRecord, task: TaskView | None) -> CronView:
    return CronView(
        name=cron.name,
        task=cron.task,
        schedule=cron.schedule,
        words=cron.words,
        timezone=cron.timezone,
        description=cron.description,
        next_fire_at=record.next_fire_at,
        is_paused=record.is_paused,
        is_enabled=cron.is_enabled,
        last=_last_end_of(record),
        usual_duration=task.usual_duration if task else None,
        counts=task.counts if task else LiveCounts(),
        lock_holder=task.lock_holder if task else None,
    )


def _last_end_of(record: CronRecord) -> LastEnd | None:
    if record.last_id is None or record.last_state is None:
        return None
    return LastEnd(
        record.last_id,
        record.last_state,
        record.last_reason,
        record.last_finished_at,
        record.last_duration,
    )

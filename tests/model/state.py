"""What the store should hold, as plain values: the model that the scripts are held against.

It keeps jobs, lines and leases. Every index (counts, zsets, history) is *derived* from the jobs, so
a script that forgets an index, or changes it alone, differs from the model at once.
"""

from collections import Counter
from dataclasses import dataclass, field

from jobrunner.model import LIVE, TERMINAL, JobState
from jobrunner.store.stats import Window

LEVELS = ("high", "normal", "low")
HOLDS_AN_ENTRY = (JobState.QUEUED, JobState.RUNNING)
Place = tuple[str, str]  # queue and priority
Zset = dict[str, int]


@dataclass(slots=True)
class ModelEntry:
    """An entry of a queue. The server gives its id, which is learned at the next comparison."""

    fields: dict[str, str]
    entry_id: str = ""
    holder: str = ""  # worker that has claimed it


@dataclass(slots=True)
class ModelJob:
    """A record. Attributes without a leading underscore are fields of the hash; None: no field."""

    id: str
    task: str
    queue: str
    priority: str
    created_at: int
    state: JobState = JobState.QUEUED
    message: str | None = None
    key: str | None = None
    cron: str | None = None
    fire_time: int | None = None
    after: str | None = None
    awaits: str | None = None
    due_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    duration_ms: int | None = None
    attempt: int | None = None
    lost: int | None = None
    base: int | None = None
    fence: int | None = None
    worker: str | None = None
    lock: str | None = None
    lock_token: int | None = None
    lock_ttl: int | None = None
    reason: str | None = None
    result: str | None = None
    error: str | None = None
    detail: str | None = None
    progress: str | None = None
    cancel_requested: str | None = None
    parked: int | None = None
    entry: ModelEntry | None = None
    blocked_since: int | None = None  # not in the record, as all below
    result_until: int | None = None

    @property
    def place(self) -> Place:
        return self.queue, self.priority

    def has(self, entry_id: str) -> bool:
        """Whether this entry is the lease of the job's attempt: the fence, and the state."""
        is_good = self.entry is not None and self.entry.entry_id == entry_id
        return is_good and self.state in HOLDS_AN_ENTRY

    def clear(self, *names: str) -> None:
        for name in names:
            setattr(self, name, None)

    def record(self) -> dict[str, str]:
        """The hash."""
        names = (name for name in self.__slots__ if name not in _NOT_IN_RECORD)
        fields = {name: getattr(self, name) for name in names}
        if self.entry is not None:
            fields["entry"] = self.entry.entry_id
        return {name: str(value) for name, value in fields.items() if value is not None}


_NOT_IN_RECORD = ("id", "entry", "blocked_since", "result_until")
View = dict[str, object]


@dataclass(slots=True)
class Model:
    """One namespace. Times in milliseconds by the store's clock, which is `now`."""

    now: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    queues: set[str] = field(default_factory=set)
    streams: dict[Place, list[ModelEntry]] = field(default_factory=dict)
    grouped: set[Place] = field(default_factory=set)
    due: Zset = field(default_factory=dict)
    cancelling: set[str] = field(default_factory=set)
    watchers: dict[str, set[str]] = field(default_factory=dict)
    unique: dict[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    holders: dict[str, Zset] = field(default_factory=dict)
    waiting: dict[str, Zset] = field(default_factory=dict)
    locks: Zset = field(default_factory=dict)
    tokens: int = 0
    workers: Zset = field(default_factory=dict)
    parked: Zset = field(default_factory=dict)
    knowers: Zset = field(default_factory=dict)
    known: dict[str, set[str]] = field(default_factory=dict)  # tasks, by daemon
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)  # of workers and crons, by key
    controls: dict[str, list[str]] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)  # ends and submits, not the times
    folds: int = 0
    published: list[tuple[str, str]] = field(default_factory=list)  # by the last request

    def count(self, task: str, what: str) -> None:
        """Count for `stats`."""
        self.counted[f"{what}:{task}"] += 1

    def push(
        self, job: ModelJob, place: Place, *, n: int, lost: int, fence: int, base: int
    ) -> None:
        """Queue a job: the new entry is its lease from now on."""
        fields: dict[str, object] = {"id": job.id, "m": job.message or ""}
        if fence > 1:  # the first hand-out is all the rest there is to say
            fields |= {"n": n, "l": lost, "f": fence, "b": base}
        entry = ModelEntry({name: str(value) for name, value in fields.items()})
        self.streams.setdefault(place, []).append(entry)
        job.entry = entry

    def take_out(self, place: Place, entry_id: str, *, only_claimed: bool = False) -> bool:
        """Delete an entry with its ack; whether it was claimed."""
        for entry in self.streams.get(place, []):
            if entry.entry_id == entry_id and (entry.holder or not only_claimed):
                self.streams[place].remove(entry)
                return bool(entry.holder)
        return False

    def schedule(self, job_id: str, at: int) -> None:
        """Make a job due then; the schedulers are told of a new earliest time."""
        if not self.due or at < min(self.due.values()):
            self.published.append(("wake", str(at)))
        self.due[job_id] = at

    def wake(self, job_id: str) -> str:
        """Make a waiting job due now, unless it has a time already."""
        self.due.setdefault(job_id, self.now)
        return job_id

    def tell_watchers(self, job_id: str) -> list[str]:
        """Tell who waits for a job's end; returns the jobs among them."""
        woken = []
        for member in self.watchers.pop(job_id, set()):
            kind, _, name = member.partition(":")
            if kind == "job":
                woken.append(self.wake(name))
            else:
                self.published.append((f"client:{name.rpartition(':')[2]}", job_id))
        return woken

    def state_of(self, job_id: str) -> JobState | None:
        job = self.jobs.get(job_id)
        return job.state if job else None

    def is_live(self, job_id: str) -> bool:
        return self.state_of(job_id) in LIVE

    def view(self) -> View:
        """Every key of the namespace with its value, but for empty ones."""
        found: View = {f"job:{job.id}": job.record() for job in self.jobs.values()}
        found |= {f"unique:{key}": job_id for key, job_id in self.unique.items()}
        found |= {f"watchers:{job_id}": members for job_id, members in self.watchers.items()}
        found |= {f"lock:{name}": members for name, members in self.holders.items()}
        found |= {f"waiting:{name}": members for name, members in self.waiting.items()}
        found |= {f"control:{worker}": items for worker, items in self.controls.items()}
        found |= {"queues": self.queues, "last": self.last, "scheduled": self.due}
        found |= {"cancelling": self.cancelling, "locks": self.locks, "workers": self.workers}
        found |= {f"knows:{daemon}": tasks for daemon, tasks in self.known.items()}
        found |= {"parked": self.parked, "knowers": self.knowers}
        found |= {"tokens": str(self.tokens) if self.tokens else ""}
        found |= {f"counted:{window}": self.counted for window in Window}
        found |= self._history() | self._live_indexes() | self.hashes
        return {key: value for key, value in found.items() if value}

    def _live_indexes(self) -> View:
        live = [job for job in self.jobs.values() if job.state in LIVE]
        counts = Counter(f"{job.state}:{job.task}" for job in live)
        return {
            "counts": {name: str(number) for name, number in counts.items()},
            "running": {j.id: j.started_at for j in live if j.state is JobState.RUNNING},
            "blocked": {j.id: j.blocked_since for j in live if j.state is JobState.BLOCKED},
        }

    def _history(self) -> View:
        found: dict[str, Zset] = {}
        for job in self.jobs.values():
            if job.state in TERMINAL:
                at = job.finished_at or 0
                found.setdefault(f"done:{job.state}", {})[job.id] = at
                found.setdefault(f"task:{job.task}:done", {})[job.id] = at
            if job.result_until is not None:
                found.setdefault("results", {})[job.id] = job.result_until
        return dict(found)

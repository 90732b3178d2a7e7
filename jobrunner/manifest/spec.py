"""The manifest's models: the single source of validation, defaults and JSON Schema."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from jobrunner.manifest.units import parse_duration
from jobrunner.model import Priority

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Spec(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretRef(Spec):
    """A value from the daemon's environment (`env`) or from a file (`file`); never shown."""

    env: str | None = None
    file: str | None = None


class Durability(StrEnum):
    EVERYSEC = "everysec"
    ALWAYS = "always"


class Store(Spec):
    """Where the state lives. Without `url`, on an embedded server."""

    url: str | None = None
    durability: Durability = Durability.EVERYSEC
    server: str | None = None  # path of a valkey-server or redis-server binary


class Workers(Spec):
    processes: int | Literal["auto"] = "auto"  # auto: one per processor, at most 4
    slots: int = Field(64, ge=1, le=10_000)  # attempts at the same time, per process
    drain: Duration = timedelta(seconds=30)
    queues: list[str] | None = None  # None: every queue of the manifest


class Backoff(StrEnum):
    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"


class Retry(Spec):
    """How often and when a failed attempt is followed by another."""

    attempts: int = Field(1, ge=1, le=1000)  # all in all; 1 means no retry
    delay: Duration = timedelta(seconds=5)
    backoff: Backoff = Backoff.EXPONENTIAL
    max_delay: Duration = timedelta(hours=1)
    jitter: bool = True  # full jitter: a random delay between 0 and the computed one
    exit_codes: list[int] | None = None  # None: every exit code that is not a success
    exceptions: list[str] | None = None  # names of exceptions; None: every one


class Conflict(StrEnum):
    SKIP = "skip"
    WAIT = "wait"
    FAIL = "fail"


class Lock(Spec):
    """At most `slots` jobs that share `name` at the same time, across all daemons."""

    name: str  # may use parameters: report-{region}
    ttl: Duration = timedelta(minutes=2)  # how long a crash blocks, not how long a job may take
    slots: int = Field(1, ge=1, le=10_000)
    conflict: Conflict = Conflict.SKIP


class Limits(Spec):
    """Resource limits of one command, set by rlimit."""

    memory: int | str | None = None  # bytes, or "512M"
    cpu: Duration | None = None  # processor time
    files: int | None = Field(None, ge=1)  # open files


class Output(Spec):
    max_bytes: int | str = "1M"  # per attempt; first and last part are kept


class Param(Spec):
    type: Literal["string", "integer", "number", "boolean", "date", "datetime"] = "string"
    default: Any = None
    required: bool | None = None  # None: required when there is no default
    choices: list[Any] | None = None
    pattern: str | None = None
    min: float | None = None
    max: float | None = None
    secret: bool = False
    description: str = ""


class Ack(StrEnum):
    BATCH = "batch"  # finished jobs are written in batches, the fastest way
    EACH = "each"  # one write per job: the shortest window in which a crash repeats it


class Record(StrEnum):
    LAZY = "lazy"  # the start record is written for jobs that run longer than an instant
    EAGER = "eager"  # before the attempt begins


class TaskDefaults(Spec):
    """What a task may set, and `defaults` may set for all tasks."""

    cwd: str | None = None  # None: the manifest's folder
    env: dict[str, str | int | float | bool | SecretRef] = {}
    env_file: str | list[str] | None = None
    user: str | None = None
    group: str | None = None
    umask: str | int | None = None  # octal, e.g. "027"
    nice: int | None = Field(None, ge=-20, le=19)
    limits: Limits = Limits()
    timeout: Duration | None = None
    kill_grace: Duration = timedelta(seconds=10)
    success_codes: list[int] = [0]
    retry: Retry = Retry()
    max_lost: int = Field(3, ge=1)
    queue: str = "default"
    priority: Priority = Priority.NORMAL
    ack: Ack = Ack.BATCH
    record: Record = Record.LAZY
    output: Output = Output()
    result_ttl: Duration | None = None  # None: as long as the record


class Task(TaskDefaults):
    """A declared unit of work: exactly one of `command`, `shell`, `python`."""

    description: str = ""
    command: str | list[str] | None = None
    shell: str | None = None
    python: str | None = None  # module:function
    params: dict[str, Param] = {}
    lock_ttl: Duration | None = None
    lock: Lock | None = None
    cron: str | None = None  # short for a cron of the same name


class Misfire(StrEnum):
    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class CatchUp(Spec):
    window: Duration = timedelta(days=1)
    count: int = Field(100, ge=1, le=10_000)


class CronSpec(Spec):
    """When a task is asked for: an expression or an interval, a zone and policies."""

    task: str
    description: str = ""
    cron: str | None = None
    every: Duration | None = None
    timezone: str = "UTC"
    params: dict[str, Any] = {}
    misfire: Misfire = Misfire.ONCE
    grace: Duration = timedelta(minutes=1)  # a fire time noticed later than this is a misfire
    catch_up: CatchUp = CatchUp()
    overlap: Overlap = Overlap.ALLOW
    jitter: Duration = timedelta(0)
    lock_ttl: Duration | None = None
    enabled: bool = True


class Retention(Spec):
    """How long finished jobs are kept."""

    completed: Duration = timedelta(days=7)
    failed: Duration = timedelta(days=30)  # failed, skipped and cancelled ones
    jobs: int = Field(100_000, ge=0)  # at most so many per terminal state
    logs: Duration = timedelta(days=7)


class Manifest(Spec):
    """The whole file. `path` and `name` are filled in by `load`."""

    name: str = ""
    imports: list[str] = []
    include: list[str] = []  # further manifests; their tasks and crons are added
    store: Store = Store()
    workers: Workers = Workers()
    defaults: TaskDefaults = TaskDefaults()
    retention: Retention = Retention()
    adhoc: bool = False  # allow `jobrunner exec`
    env: dict[str, str | int | float | bool | SecretRef] = {}
    env_file: str | list[str] | None = None
    tasks: dict[str, Task] = {}
    crons: dict[str, CronSpec] = {}

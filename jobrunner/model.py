"""Jobs, their states and the legal transitions between them. Pure."""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
ID_LENGTH = 12  # 60 bits: a billion jobs collide with a chance below one in two
_LETTERS = ID_ALPHABET.encode() * 8  # a letter for each byte; 32 divides 256, so all are as likely


class JobState(StrEnum):
    SCHEDULED = "scheduled"  # due later: delayed, or waiting for a retry
    BLOCKED = "blocked"  # waits for a lock or another job
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.SKIPPED, JobState.CANCELLED})
LIVE = frozenset(JobState) - TERMINAL

# What the scripts allow. Terminal to `queued` is a user's `retry`.
TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.SCHEDULED: frozenset({JobState.QUEUED}) | TERMINAL,
    JobState.BLOCKED: frozenset({JobState.QUEUED}) | TERMINAL,
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.SCHEDULED, JobState.BLOCKED}) | TERMINAL,
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.SCHEDULED, JobState.BLOCKED}) | TERMINAL,
    JobState.COMPLETED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.SKIPPED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}


class Reason(StrEnum):
    """Why a job is `failed` or `skipped`."""

    ERROR = "error"
    TIMEOUT = "timeout"
    LOST = "lost"  # its worker died `max_lost` times
    UNKNOWN_TASK = "unknown_task"
    INVALID_ARGUMENTS = "invalid_arguments"
    UPSTREAM = "upstream"
    LOCKED = "locked"  # skipped or failed: another job holds the lock
    OVERLAP = "overlap"  # skipped: the cron's previous job was not finished
    MISFIRE = "misfire"  # skipped: noticed too late
    TAKEN = "taken"  # skipped: another job has the id of the fire time
    REPLACED = "replaced"  # cancelled: the cron's next job took its place


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class JobError:
    """Why an attempt failed: `type` is an exception's name, `exit`, `signal`, `timeout` …"""

    type: str
    message: str
    exit_code: int | None = None
    traceback: str | None = None


# One per command: a structure is made in a fraction of the time of a frozen dataclass.
class Usage(msgspec.Struct, frozen=True, gc=False):
    """What an attempt has used of the machine; None is what nobody has counted."""

    cpu_ms: int | None = None  # processor time of all its processes
    memory_bytes: int | None = None  # at the most
    read_bytes: int | None = None  # from disks and other devices
    write_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LeftProcess:
    """A process that an attempt had left behind, and that was stopped as it ended."""

    pid: int
    name: str
    is_gone: bool = True  # False: not even KILL ended it


@dataclass(frozen=True, slots=True)
class Job:
    """One request to perform a task, as the store's record tells it. Instants are UTC."""

    id: str
    task: str
    state: JobState
    queue: str
    priority: Priority
    created_at: datetime
    attempt: int = 0  # the number of the latest attempt; 0 before the first
    reason: Reason | None = None
    cron: str | None = None
    fire_time: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: timedelta | None = None  # of the latest attempt, by the monotonic clock
    result: Any = None
    error: JobError | None = None
    last_stderr: str | None = None  # of a success: its last line there; an error quotes it
    detail: str | None = None  # e.g. the id of the lock's holder for a skipped job
    worker: str | None = None
    lock: str | None = None
    progress: Any = None
    key: str | None = None  # idempotency key
    after: str | None = None  # the job this one waits for
    arguments: dict[str, Any] | None = None  # secret ones masked
    # The same unmasked, where nobody said which are secret; only who knows the task may show them.
    unmarked: dict[str, Any] | None = field(default=None, repr=False)
    cancel_requested: bool = False
    usage: Usage | None = None  # of the latest attempt; None for functions, which share processes
    left: list[LeftProcess] | None = None  # by the latest attempt

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL


def new_job_id() -> str:
    """A random job id, made by the client so that a submit can be repeated safely."""
    return os.urandom(ID_LENGTH).translate(_LETTERS).decode()

"""What an explanation is: a code for programs, a sentence for people, and the facts behind it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    JOB = "job"
    CRON = "cron"
    TASK = "task"
    FIRE = "fire"  # a fire time of a cron that has no job
    STORE = "store"  # it could not be asked, so nothing is known of the subject


class Code(StrEnum):
    """What it comes down to. Programs rely on these; docs/json.md lists them."""

    NOT_DUE = "not_due"
    WAITING_TO_RETRY = "waiting_to_retry"
    WAITING_FOR_LOCK = "waiting_for_lock"
    WAITING_FOR_JOB = "waiting_for_job"
    WAITING_FOR_SLOT = "waiting_for_slot"
    ABOUT_TO_START = "about_to_start"
    NO_WORKER = "no_worker"  # none serves the queue
    UNKNOWN_TASK = "unknown_task"  # no worker knows the task
    DRAINING = "draining"
    DAEMON_NOT_RUNNING = "daemon_not_running"
    STORE_UNREACHABLE = "store_unreachable"
    RUNNING = "running"
    OVERDUE = "overdue"  # it runs for longer than its timeout
    CANCELLING = "cancelling"
    WORKER_LOST = "worker_lost"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    DISABLED = "disabled"
    FIRES = "fires"  # it has a next fire time
    FIRES_AT_BOOT = "fires_at_boot"
    NEVER_FIRES = "never_fires"
    FIRE_LATE = "fire_late"  # its next fire time is over and nobody has handled it
    NOT_FIRED_YET = "not_fired_yet"
    NO_RECORD = "no_record"
    NEVER_SUBMITTED = "never_submitted"
    IDLE = "idle"
    WAITING = "waiting"  # jobs of the task wait, and none runs


Part = str | datetime | timedelta
Sentence = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer. Instants and durations in it are values: who shows it picks zone and words."""

    subject: str  # id of the job, name of the cron or task
    kind: Kind
    code: Code
    sentence: Sentence
    facts: Mapping[str, object]  # None where there is none; durations end with `_ms`
    at: datetime | None = None  # by the store's clock; None when it could not be asked
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An explanation in the making: what is said of a subject that was named before."""

    code: Code
    sentence: Sentence
    facts: Mapping[str, object] = field(default_factory=dict)
    fix: str | None = None


NOBODY = "no daemon is running, so nothing fires or starts"
START_IT = "`jobrunner run` starts the daemon"


def without_daemon(answer: Answer) -> Answer:
    """The same, where it is of no use since no daemon runs."""
    sentence = (*answer.sentence, f", but {NOBODY}")
    return Answer(Code.DAEMON_NOT_RUNNING, sentence, answer.facts, START_IT)


def joined(items: Iterable[Sentence], by: str = "; ") -> Sentence:
    """Several clauses as one; empty ones are left out."""
    parts: list[Part] = []
    for item in items:
        if item:
            parts += [by, *item] if parts else item
    return tuple(parts)

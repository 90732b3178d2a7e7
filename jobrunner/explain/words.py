"""Words that several explanations share."""

from collections.abc import Sequence
from datetime import datetime

from jobrunner.model import Job, JobState
from jobrunner.store.leases import WorkerEntry

LONGEST_ERROR = 160  # characters of an error's first line: the sentence must stay one
_ORDINALS = ("first", "second", "third")
_STATES = {JobState.SKIPPED: "was skipped", JobState.CANCELLED: "was cancelled"}


def error_words(job: Job) -> str:
    """`ConnectionError: no answer`: the first line of a job's error, or its reason."""
    if job.error is None:
        return str(job.reason or "an unknown error")
    first = job.error.message.strip().partition("\n")[0]
    cut = f"{first[:LONGEST_ERROR]}…" if len(first) > LONGEST_ERROR else first
    return f"{job.error.type}: {cut}"


def in_line(number: int) -> str:
    """`it is second in line`; numbers count from 1."""
    if number <= len(_ORDINALS):
        return f"it is {_ORDINALS[number - 1]} in line"
    return f"it is number {number} in line"


def state_words(job: Job) -> str:
    """`is queued`, `completed`, `was skipped`."""
    if job.is_terminal:
        return _STATES.get(job.state, str(job.state))
    return f"is {job.state}"


def counted(number: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def is_alive(worker: WorkerEntry, now: datetime) -> bool:
    """Whether the worker's lease goes on; one that has ended is about to be rescued."""
    return worker.lease_ends_at is not None and worker.lease_ends_at > now

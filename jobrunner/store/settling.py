"""Ending a job that no worker has."""

from dataclasses import dataclass
from enum import StrEnum

from jobrunner.model import JobState, Reason
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.requests import Command, Operation, Script


class Settled(StrEnum):
    SETTLED = "settled"  # it has ended by this call
    CLAIMED = "claimed"  # a worker has it and was told to cancel it
    TERMINAL = "terminal"  # it had ended before
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the job; `detail` is the worker, or the state it ended in."""

    what: Settled
    detail: str
    woken: list[str]


def settle(
    keys: Keys, job_id: str, state: JobState, reason: Reason | None = None, detail: str = ""
) -> Operation[Settlement]:
    """End a job that no worker has; note the wish for a claimed one."""
    reply = yield Command(("HMGET", keys.job(job_id), "task", "queue", "priority", "lock"))
    task, queue, priority, lock = (item.decode() if item else "" for item in reply)
    if not task:
        return Settlement(Settled.GONE, "", [])
    names = [
        keys.job(job_id),
        keys.queue(queue, priority),
        keys.scheduled(),
        keys.blocked(),
        keys.counts(),
        keys.done(state),
        keys.task_done(task),
        keys.watchers(job_id),
        keys.cancelling(),
    ]
    if lock:
        names.append(keys.lock_waiting(lock))
    what, *rest = yield Script("settle", names, [GROUP, job_id, state, reason or "", detail])
    woken = [item.decode() for item in rest[1]] if len(rest) > 1 else []
    return Settlement(Settled(what.decode()), rest[0].decode() if rest else "", woken)

"""Ending a job that no worker has."""

from enum import StrEnum

import msgspec

from jobrunner.model import JobState, Reason
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.requests import Argument, Command, Operation, Script

_FIELDS = ("task", "queue", "priority", "lock", "cron")


class Settled(StrEnum):
    SETTLED = "settled"  # it has ended by this call
    CLAIMED = "claimed"  # a worker has it and was told to cancel it
    TERMINAL = "terminal"  # it had ended before
    MOVED = "moved"  # it is not in the state that was asked for
    GONE = "gone"


class Settlement(msgspec.Struct, frozen=True):
    """What became of the job; `detail` is the worker, or the state it was in or is in."""

    what: Settled
    detail: str
    woken: list[str]


def settle(
    keys: Keys,
    job_id: str,
    state: JobState,
    reason: Reason | None = None,
    detail: str = "",
    *,
    only_if: JobState | None = None,
) -> Operation[Settlement]:
    """End a job that no worker has; note the wish for a claimed one.

    With `only_if`, a job in another state stays as it is.
    """
    reply = yield Command(("HMGET", keys.job(job_id), *_FIELDS))
    task, queue, priority, lock, cron = (text_of(item) for item in reply)
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
        keys.tally(),
    ]
    if lock:
        names += [keys.lock(lock), keys.lock_waiting(lock)]
    if cron:
        names.append(keys.cron(cron))
    args: list[Argument] = [GROUP, job_id, state, reason or "", detail, only_if or ""]
    args += [1 if lock else "", 1 if cron else ""]
    what, *rest = yield Script("settle", names, args)
    woken = [text_of(item) for item in rest[1]] if len(rest) > 1 else []
    return Settlement(Settled(text_of(what)), text_of(rest[0]) if rest else "", woken)

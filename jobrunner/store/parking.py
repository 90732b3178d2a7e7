"""Jobs whose task the worker that claimed them does not know, while some daemon does.

Daemons of one store may have different manifests, e.g. while they are changed one by one. Each says
with its beat which tasks it knows, and is believed for a minute after: so long it may take to start
again. A job of a task that somebody knows is *parked*: `scheduled` for a delay that doubles, with
the reason on its record; whoever claims it next decides anew. A worker that begins makes the parked
jobs of its tasks due at once. A task that nobody knows fails its jobs.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import StrEnum

from jobrunner.model import Reason
from jobrunner.store.attempts import Entry
from jobrunner.store.damage import count_of
from jobrunner.store.decoding import text_of
from jobrunner.store.due import BATCH, promote
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

BELIEVED_FOR = timedelta(seconds=60)  # after the last beat: a daemon may be on its way up again
FIRST_DELAY_MS = 500  # longer than a worker needs to retire, short for one who waits for the job
# Of a job whose own workers are busy; a thousand parked ones cost their store 300 calls a second.
LONGEST_DELAY_MS = 10_000


class Parked(StrEnum):
    PARKED = "parked"
    STALE = "stale"  # it belongs to others, or has no record any more
    CANCELLING = "cancelling"  # untouched: to be finished as cancelled


def know(keys: Keys, daemon: str, tasks: Collection[str]) -> Operation[None]:
    """Say which tasks a daemon knows; to be repeated well within `BELIEVED_FOR`."""
    args: list[Argument] = [daemon, BELIEVED_FOR // timedelta(milliseconds=1), *tasks]
    yield Script("know", [keys.knowers(), keys.known_tasks(daemon)], args)


def is_known(keys: Keys, task: str) -> Operation[bool]:
    """Whether some daemon knows the task, or did so a moment ago.

    Nobody could say so while the server was away: for as long after that it is taken for known.
    """
    daemons = yield Command(("ZRANGE", keys.knowers(), 0, -1))
    if daemons:
        known = [keys.known_tasks(text_of(daemon)) for daemon in daemons]
        replies = yield Pipeline([Command(("SISMEMBER", key, task)) for key in known])
        if any(replies):
            return True
    believed_ms = BELIEVED_FOR // timedelta(milliseconds=1)
    since_return: int = yield Script("since_return", [keys.server()], [believed_ms])
    return since_return < believed_ms


def park(keys: Keys, entry: Entry, task: str) -> Operation[Parked]:
    """Put a claimed job of a task aside that the caller does not know, but others do."""
    names = [keys.scheduled(), keys.counts(), keys.parked(), keys.cancelling()]
    names += [keys.job(entry.job_id), keys.queue(entry.queue, entry.priority)]
    detail = f"waits for a daemon that knows task {task!r}"
    args: list[Argument] = [GROUP, keys.wake_channel(), entry.job_id, entry.entry_id]
    args += [FIRST_DELAY_MS, LONGEST_DELAY_MS, Reason.UNKNOWN_TASK, detail]
    reply: bytes = yield Script("park", names, args)
    return Parked(text_of(reply))


def wake_parked(keys: Keys, tasks: Collection[str]) -> Operation[int]:
    """Queue the parked jobs of these tasks, oldest first; returns how many."""
    ids = [text_of(item) for item in (yield Command(("ZRANGE", keys.parked(), 0, -1)))]
    created: dict[str, int] = {}
    for at in range(0, len(ids), BATCH):
        created |= yield from _created(keys, ids[at : at + BATCH], tasks)
    ids = sorted(created, key=lambda job_id: created[job_id])
    woken = 0
    for at in range(0, len(ids), BATCH):
        woken += yield from _wake(keys, ids[at : at + BATCH])
    return woken


def _created(keys: Keys, ids: Sequence[str], tasks: Collection[str]) -> Operation[dict[str, int]]:
    """When the parked jobs of these tasks were made, by id."""
    fields = ("task", "reason", "created_at")
    replies = yield Pipeline([Command(("HMGET", keys.job(job_id), *fields)) for job_id in ids])
    return {
        job_id: count_of(created)
        for job_id, (task, reason, created) in zip(ids, replies, strict=True)
        if task and text_of(task) in tasks and reason == Reason.UNKNOWN_TASK.encode()
    }


def _wake(keys: Keys, ids: Sequence[str]) -> Operation[int]:
    names = [keys.scheduled(), keys.parked(), *map(keys.job, ids)]
    yield Script("unpark", names, list(ids))
    return (yield from promote(keys, ids))

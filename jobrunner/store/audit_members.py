"""From the indexes: does each member's record say that it belongs there?"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from jobrunner.model import LIVE, TERMINAL, JobState
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.keyspace import Family, KeyReader, Part
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Command, Operation, Script

BATCH = 500  # members per step: about 2 ms of the server's time

# A waiter that is cancelled stays a watcher of its upstream job, whose end makes it due; the
# promotion drops it then.
PROMOTION_TAKES = timedelta(seconds=5)


class Belonging(msgspec.Struct, frozen=True):
    """Which records belong in an index: their states, and a field that must have its name."""

    states: frozenset[JobState] = TERMINAL
    named_by: str = ""
    kind: Kind = Kind.STALE_MEMBER
    is_set: bool = False
    patience: timedelta = timedelta(0)  # while a due member is left to the scheduler


QUEUED, RUNNING, BLOCKED = JobState.QUEUED, JobState.RUNNING, JobState.BLOCKED
INDEXES: Mapping[Family, Belonging] = {
    # A woken waiter is in `scheduled` while it still is `blocked`.
    Family.SCHEDULED: Belonging(frozenset({JobState.SCHEDULED, BLOCKED}), patience=PROMOTION_TAKES),
    Family.BLOCKED: Belonging(frozenset({BLOCKED})),
    Family.RUNNING: Belonging(frozenset({RUNNING})),
    Family.CANCELLING: Belonging(LIVE, is_set=True),
    Family.RESULTS: Belonging(),
    Family.DONE: Belonging(),
    Family.TASK_DONE: Belonging(named_by="task"),
    # A job taken from a dead worker keeps its lock while it is queued again; a woken waiter keeps
    # its place in the line.
    Family.LOCK: Belonging(frozenset({QUEUED, RUNNING}), "lock", Kind.STALE_LOCK),
    Family.WAITING: Belonging(frozenset({QUEUED, BLOCKED}), "lock", Kind.STALE_LOCK),
}


def check_index(keys: Keys, key: str) -> Operation[list[Orphan]]:
    """What is wrong in one index, page by page."""
    found: list[Orphan] = []
    is_set = _belonging(_part(keys, key)).is_set
    start, cursor = 0, b"0"
    while True:
        if is_set:
            cursor, page = yield Command(("SSCAN", key, cursor, "COUNT", BATCH))
        else:
            page = yield Command(("ZRANGE", key, start, start + BATCH - 1))
        ids = [text_of(item) for item in page]
        found += yield from check_members(keys, key, ids, mends=False)
        start += BATCH
        if cursor == b"0" if is_set else len(page) < BATCH:
            return found


def check_members(
    keys: Keys, key: str, ids: Sequence[str], *, mends: bool
) -> Operation[list[Orphan]]:
    """Which of an index's members are wrong; with `mends` which were, and were taken out now."""
    part = _part(keys, key)
    belonging = _belonging(part)
    waiting = keys.lock_waiting(part.name if belonging.kind is Kind.STALE_LOCK else "")
    found: list[Orphan] = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        names = [key, waiting, keys.scheduled(), *(keys.job(job_id) for job_id in batch)]
        args = _arguments(keys, part, belonging, mends)
        replies = yield Script("check_members", names, [*args, *batch])
        for job_id, reply in zip(batch, replies, strict=True):
            if reply:
                found.append(Orphan(belonging.kind, key, job_id, job_id, text_of(reply)))
    return found


def _arguments(keys: Keys, part: Part, belonging: Belonging, mends: bool) -> list[Argument]:
    states = [part.name] if part.family is Family.DONE else sorted(belonging.states)
    return [
        1 if mends else "",
        keys.wake_channel(),
        1 if belonging.is_set else "",
        "".join(f"{state} " for state in states),
        belonging.named_by,
        part.name if belonging.named_by else "",
        round(belonging.patience / timedelta(milliseconds=1)),
    ]


def _part(keys: Keys, key: str) -> Part:
    part = KeyReader(keys).part(key)
    if part is None:
        raise ValueError(f"{key} is no index")
    return part


def _belonging(part: Part) -> Belonging:
    return INDEXES[part.family]

"""From the records: is each job in its queue, in the index of its state, and will it be woken?"""

from collections.abc import Sequence

from jobrunner.store.attempts import DONE_STATES
from jobrunner.store.decoding import text_of
from jobrunner.store.due import last_begun
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

BATCH = 200  # jobs per step: about 4 ms of the server's time
_FIELDS = ("queue", "priority", "task", "lock", "awaits", "after")


def check_records(keys: Keys, job_ids: Sequence[str], *, mends: bool) -> Operation[list[Orphan]]:
    """What is wrong with the jobs; with `mends` what was, and is mended now."""
    found: list[Orphan] = []
    for start in range(0, len(job_ids), BATCH):
        batch = job_ids[start : start + BATCH]
        replies = yield from _check(keys, batch, mends)
        for job_id, faults in zip(batch, replies, strict=True):
            for fault, state in faults:
                kind = Kind(text_of(fault))
                found.append(Orphan(kind, keys.job(job_id), job_id, job_id, text_of(state)))
    return found


def _check(
    keys: Keys, job_ids: Sequence[str], mends: bool
) -> Operation[list[list[tuple[bytes, bytes]]]]:
    replies = yield Pipeline([Command(("HMGET", keys.job(i), *_FIELDS)) for i in job_ids])
    names = [keys.workers(), keys.scheduled(), keys.blocked(), keys.running(), keys.counts()]
    names += [keys.locks(), *(keys.done(state) for state in DONE_STATES)]
    args: list[Argument] = [1 if mends else "", keys.wake_channel(), GROUP]
    for job_id, reply in zip(job_ids, replies, strict=True):
        queue, priority, task, lock, awaits, after = [text_of(item or b"") for item in reply]
        if awaits == "end":
            after = yield from last_begun(keys, after)
        names += [keys.job(job_id), keys.queue(queue, priority), keys.task_done(task)]
        names += [keys.lock(lock), keys.lock_waiting(lock), keys.watchers(after)]
        args += [job_id, lock]
    found: list[list[tuple[bytes, bytes]]] = yield Script("check_records", names, args)
    return found

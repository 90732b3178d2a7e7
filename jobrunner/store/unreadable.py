"""Entries of a queue that are no jobs: recorded as failed, neither lost nor in the way."""

from collections.abc import Sequence

import msgspec

from jobrunner.model import JobError, JobState, Reason
from jobrunner.store.attempts import Unreadable
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.requests import Argument, Operation, Script

TASK = "?"  # of such records: which task was meant is not known
SHOWN = 1000  # characters of the entry in the error; garbage can be of any size


def refuse_unreadable(
    keys: Keys, worker: str, unreadable: Sequence[Unreadable]
) -> Operation[list[str]]:
    """Record claimed entries as failed jobs and take them out of their queues.

    Returns the ids of the records; an entry that was acked before gets none.
    """
    if not unreadable:
        return []
    names = [keys.done(JobState.FAILED), keys.task_done(TASK), keys.tally()]
    args: list[Argument] = [GROUP, worker, TASK, Reason.INVALID_ARGUMENTS]
    for item in unreadable:
        job_id = record_id(item)
        names += [keys.job(job_id), keys.queue(item.queue, item.priority)]
        args += [job_id, item.entry_id, item.queue, item.priority, _error_of(item)]
    replies = yield Script("refuse", names, args)
    return [record_id(item) for item, reply in zip(unreadable, replies, strict=True) if reply]


def record_id(item: Unreadable) -> str:
    """The id of its record. Entry ids are unique in their stream only."""
    return f"entry-{item.queue}-{item.priority}-{item.entry_id}"


def _error_of(item: Unreadable) -> bytes:
    fields = " ".join(repr(field)[1:] for field in item.fields)
    cut = f"{fields[:SHOWN]} … ({len(fields)} characters)" if len(fields) > SHOWN else fields
    return msgspec.json.encode(JobError("unreadable", f"this entry is no job: {cut}"))

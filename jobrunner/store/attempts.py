"""What a worker does with jobs: claim, start, finish, give back. See docs/architecture.md.

The id of the stream entry is the lease of one attempt, and the record names the entry that is
good: whoever hands the job out again writes a new one, whoever ends the attempt leaves the state.
A worker that was rescued meanwhile gets '' for its late finish, and nothing is written.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import StrEnum
from itertools import groupby

import msgspec

from jobrunner.model import Job, JobState, Priority, Reason
from jobrunner.store.damage import told
from jobrunner.store.decoding import text_of
from jobrunner.store.failures import ReplyError
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.leases import LEASE_TTL
from jobrunner.store.records import STATES
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script, portions

# What an entry may say. Nothing of ours says more; who reads it must not be worn out by what does.
LONGEST_ID = 1000  # bytes, of a job's id
LARGEST_MESSAGE = 256 * 2**20  # bytes; the largest that `bounds` may allow
MOST_ATTEMPTS = 2**31
LARGEST_FENCE = 2**53


# One of each per job: a structure is made in a fraction of the time of a frozen dataclass.
class Entry(msgspec.Struct, frozen=True, gc=False):
    """A claimed job: one entry of a queue, held by one worker."""

    entry_id: str
    queue: str
    priority: str
    job_id: str
    message: bytes
    attempts: int = 0  # that ended before
    lost: int = 0  # of them, how many died with their worker
    fence: int = 1
    base: int = 0  # attempts that the retry policy does not count

    @property
    def attempt(self) -> int:
        return self.attempts + 1


class Unreadable(msgspec.Struct, frozen=True):
    """A claimed entry that is not one of ours, or damaged."""

    entry_id: str
    queue: str
    priority: str
    fields: list[bytes]


class HeldLock(msgspec.Struct, frozen=True):
    """A lock as a job uses it: the name with its parameters filled in, times in milliseconds."""

    name: str
    slots: int
    ttl_ms: int
    conflict: str

    @classmethod
    def of_record(cls, job: Job | None) -> "HeldLock | None":
        """The lock that a job holds or is in line for, to be freed.

        How many slots it has does not matter: what is freed is given on.
        """
        return cls(job.lock, 1, 0, "") if job and job.lock else None


class StartedAs(StrEnum):
    STARTED = "started"
    STALE = "stale"
    CANCELLED = "cancelled"
    LOCKED = "locked"
    BLOCKED = "blocked"
    DAMAGED = "damaged"  # the lock: nobody can have it


class Start(msgspec.Struct, frozen=True):
    """A start record to be written; `elapsed_ms` since the attempt really began."""

    entry: Entry
    task: str
    elapsed_ms: int = 0
    lock: HeldLock | None = None


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The end of an attempt, as it is to be written."""

    entry: Entry
    task: str
    state: JobState
    reason: Reason | None = None
    result: bytes = b""  # JSON
    error: bytes = b""  # JSON of a JobError
    detail: str = ""
    stderr: str = ""  # of a success, its last line there
    duration_ms: int = 0
    retry_delay_ms: int | None = None  # then the job is scheduled instead of ending
    result_life_ms: int | None = None
    lock: HeldLock | None = None
    cron: str | None = None
    usage: str = ""  # see `records.usage_text`
    left: bytes = b""  # JSON of processes that were stopped behind it
    counts_attempt: bool = True  # false for a job that was skipped or cancelled before it began


_AFTER_RETURN_MS = LEASE_TTL // timedelta(milliseconds=1)


def queue_streams(keys: Keys, queues: Sequence[str]) -> list[tuple[str, str, str]]:
    """(queue, priority, key), level by level, as `claim.lua` and `orphans.lua` count them."""
    return [(queue, str(level), keys.queue(queue, level)) for level in Priority for queue in queues]


def read_streams(keys: Keys) -> Operation[list[str]]:
    """The keys of all queues at all levels."""
    names = [text_of(item) for item in (yield Command(("SMEMBERS", keys.queues())))]
    return [key for _, _, key in queue_streams(keys, sorted(names))]


def ensure_groups(keys: Keys, queues: Sequence[str]) -> Operation[None]:
    """Make the queues' groups, from the very first entry on: jobs may precede the first worker."""
    streams = [key for _, _, key in queue_streams(keys, queues)]
    yield Script("group", [keys.queues(), *streams], [GROUP, *queues])


def claim(
    keys: Keys,
    worker: str,
    queues: Sequence[str],
    free: int,
    *,
    fair_share: tuple[int, int] = (0, 0),
    rotation: int = 0,
) -> Operation[list[Entry | Unreadable] | None]:
    """Up to `free` queued jobs, or None when the worker was buried."""
    streams = queue_streams(keys, queues)
    names = [keys.workers(), *(key for _, _, key in streams)]
    args: list[Argument] = [GROUP, worker, len(queues), free, *fair_share, rotation]
    reply = yield Script("claim", names, args)
    if reply is None:
        return None
    return [
        entry_of(text_of(entry_id), streams[index][0], streams[index][1], fields)
        for index, entries in reply
        for entry_id, fields in entries
    ]


def claim_next(
    keys: Keys, worker: str, queues: Sequence[str], block_ms: int
) -> Operation[list[Entry | Unreadable]]:
    """Wait up to `block_ms` for queued jobs; usually one, at most one per queue and level."""
    streams = queue_streams(keys, queues)
    names = [key for _, _, key in streams]
    args = ("XREADGROUP", "GROUP", GROUP, worker, "COUNT", 1, "BLOCK", block_ms, "STREAMS")
    command = Command((*args, *names, *(">" for _ in names)), block_ms=block_ms)
    try:
        reply = yield command
    except ReplyError as error:
        if error.code != "WRONGTYPE":
            raise
        names = yield from _sound_streams(names)
        if not names:
            return []
        reply = yield Command((*args, *names, *(">" for _ in names)), block_ms=block_ms)
    places = {key: (queue, level) for queue, level, key in streams}
    return [
        entry_of(text_of(entry_id), places[text_of(name)][0], places[text_of(name)][1], fields)
        for name, entries in reply or []
        for entry_id, fields in entries
    ]


def _sound_streams(names: Sequence[str]) -> Operation[list[str]]:
    """Those that something else has not put a key of another type in the place of."""
    replies = yield Pipeline([Command(("TYPE", name)) for name in names])
    for name, found in zip(names, replies, strict=True):
        if found not in (b"stream", b"none"):
            told.tell(name)
    return [name for name, found in zip(names, replies, strict=True) if found == b"stream"]


def entry_of(entry_id: str, queue: str, level: str, flat: list[bytes]) -> Entry | Unreadable:
    """The entry in a stream's fields."""
    # Their order is that of the XADDs in the scripts: reading by place is the fastest, per job.
    try:
        id_name, job_id, message_name, message, *numbers = flat
        if (id_name, message_name) != (b"id", b"m"):
            raise ValueError(flat)
        if not numbers:  # never handed out before
            return Entry(entry_id, queue, level, _id_of(job_id), _message_of(message))
        _, attempts, _, lost, _, fence, _, base, *_ = numbers
        return Entry(
            entry_id,
            queue,
            level,
            _id_of(job_id),
            _message_of(message),
            _number_of(attempts, MOST_ATTEMPTS),
            _number_of(lost, MOST_ATTEMPTS),
            _number_of(fence, LARGEST_FENCE),
            _number_of(base, MOST_ATTEMPTS),
        )
    except ValueError:
        return Unreadable(entry_id, queue, level, flat)


def _id_of(raw: bytes) -> str:
    if not 0 < len(raw) <= LONGEST_ID:
        raise ValueError(raw)
    return raw.decode()


def _message_of(raw: bytes) -> bytes:
    if len(raw) > LARGEST_MESSAGE:
        raise ValueError(len(raw))
    return raw


def _number_of(raw: bytes, most: int) -> int:
    number = int(raw)
    if not 0 <= number <= most:
        raise ValueError(number)
    return number


def start(
    keys: Keys, worker: str, starts: Sequence[Start]
) -> Operation[list[tuple[StartedAs, str]]]:
    """Write start records and take locks; per job what happened, and the lock's token or holder."""
    names = [keys.running(), keys.counts(), keys.cancelling()]
    names += [keys.locks(), keys.tokens(), keys.blocked(), keys.scheduled(), keys.workers()]
    names.append(keys.server())
    args: list[Argument] = [GROUP, worker, keys.wake_channel(), len(starts), _AFTER_RETURN_MS]
    for item in starts:
        entry, lock = item.entry, item.lock
        names += [keys.job(entry.job_id), keys.queue(entry.queue, entry.priority)]
        args += [entry.job_id, item.task, entry.entry_id, entry.attempt, item.elapsed_ms]
        if lock is None:
            args += [0, "", 0, ""]
        else:
            names += [keys.lock(lock.name), keys.lock_waiting(lock.name)]
            args += [lock.slots, lock.name, lock.ttl_ms, lock.conflict]
    replies = yield Script("start", names, args)
    return [(StartedAs(text_of(what)), _text(detail)) for what, detail in replies]


def _text(value: bytes | int | None) -> str:
    return text_of(value) if isinstance(value, bytes) else str(value or "")


class Finished(msgspec.Struct, frozen=True):
    """Per job the state written (None: no longer ours), and the jobs woken by these ends."""

    states: list[JobState | None]
    woken: list[str]


def finish(keys: Keys, worker: str, ends: Sequence[Finish]) -> Operation[Finished]:
    """End attempts, at most 500, in one call. Promote the woken jobs next (`due.promote`)."""
    if not ends:
        return Finished([], [])
    names = [keys.running(), keys.counts(), keys.scheduled(), keys.cancelling()]
    names += [keys.locks(), keys.results()]
    names += [keys.done(state) for state in DONE_STATES]
    names += [keys.watchers(end.entry.job_id) for end in ends]
    args: list[Argument] = []
    lots = 0
    for (queue, priority, task, state, attempt), alike in groupby(ends, _lot_of):
        lot = list(alike)
        lots += 1
        names += [keys.queue(queue, priority), keys.task_done(task)]
        args += [state, attempt, len(lot)]
        for end in lot:
            _add_finish(keys, end, names, args)
    names.append(keys.tally())
    counts: list[Argument] = [GROUP, keys.wake_channel(), worker, len(ends), lots]
    states, woken = yield Script("finish", names, counts + args)
    return Finished(
        [STATES.get(state) for state in states],
        [text_of(job_id) for job_id in woken],
    )


DONE_STATES = (JobState.COMPLETED, JobState.FAILED, JobState.SKIPPED, JobState.CANCELLED)


def _add_finish(keys: Keys, end: Finish, names: list[str], args: list[Argument]) -> None:
    entry, lock = end.entry, end.lock
    names.append(keys.job(entry.job_id))
    if lock is not None:
        names += [keys.lock(lock.name), keys.lock_waiting(lock.name)]
    if end.cron:
        names.append(keys.cron(end.cron))
    told = _told(end)
    args += (entry.job_id, entry.entry_id, end.duration_ms, len(told) // 2, *told)


def _lot_of(end: Finish) -> tuple[str, str, str, JobState, int]:
    entry = end.entry
    attempt = entry.attempts + end.counts_attempt
    return entry.queue, entry.priority, end.task, end.state, attempt


def _told(end: Finish) -> list[Argument]:
    """Names and values of what is not the same for every short job that completed."""
    told: list[Argument] = []
    if end.result:
        told += ("result", end.result)
    if end.cron:
        told += ("cron", 1)
    if end.reason:
        told += ("reason", end.reason)
    if end.error:
        told += ("error", end.error)
    if end.detail:
        told += ("detail", end.detail)
    if end.stderr:
        told += ("stderr", end.stderr)
    if end.usage:
        told += ("usage", end.usage)
    if end.left:
        told += ("left", end.left)
    if end.retry_delay_ms is not None:
        told += ("retry_delay", end.retry_delay_ms)
    if end.result_life_ms is not None:
        told += ("result_life", end.result_life_ms)
    if end.lock is not None:
        told += ("lock", end.lock.name, "slots", end.lock.slots)
    return told


MOST_REQUEUED = 1000  # entries per call


class Requeued(StrEnum):
    QUEUED = "queued"
    STALE = "stale"  # it belongs to others, or has no record any more
    CANCELLING = "cancelling"  # untouched: to be finished as cancelled


def requeue(keys: Keys, entries: Iterable[Entry], *, is_lost: bool) -> Operation[list[Requeued]]:
    """Put claimed jobs back into their queues; `is_lost` counts the attempts as lost."""
    replies: list[Requeued] = []
    for batch in portions(list(entries), lambda entry: len(entry.message), MOST_REQUEUED):
        answered = yield _requeue(keys, batch, is_lost=is_lost)
        replies += [Requeued(text_of(reply)) for reply in answered]
    return replies


def _requeue(keys: Keys, batch: Sequence[Entry], *, is_lost: bool) -> Script:
    names = [keys.running(), keys.counts(), keys.cancelling()]
    args: list[Argument] = [GROUP, int(is_lost), len(batch)]
    for entry in batch:
        names += [keys.job(entry.job_id), keys.queue(entry.queue, entry.priority)]
        args += [entry.job_id, entry.entry_id, entry.message, entry.attempts]
        args += [entry.lost, entry.fence, entry.base]
    return Script("requeue", names, args)

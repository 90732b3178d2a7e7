"""Leases of workers and locks: take, renew, end; and what is left by workers that died.

A worker holds one lease for its whole process, renewed by a thread. Its member in `workers` is
the lease: whoever removes it has buried the worker, whose next renewal is refused. Claimed
entries belong to a consumer with the worker's id; an entry whose consumer has no lease is an
orphan, however it came about (a worker that was paused in its blocking read can be given one
after its burial).
Locks are leases by job id with a token; the worker renews them together with its own. For a worker
that lives and cannot (a task holds the interpreter's lock, so that not even a thread of the worker
runs) its supervisor renews, with the same script (`daemon/vouching.py`): what was taken back, a
worker without its lease or a lock with another token, is refused to both.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from jobrunner.clock import from_ms, to_ms
from jobrunner.store.damage import UNREADABLE, Readers, damaged_fields, mended
from jobrunner.store.decoding import whole
from jobrunner.store.keys import Keys
from jobrunner.store.records import fields_of
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script

LEASE_TTL = timedelta(seconds=15)
RENEW_EVERY = 1 / 3  # of the TTL: one renewal may fail and a third is still left
WORKER_HASH_TTL = timedelta(days=1)  # renewed with the lease; the rescue needs it after the end
MARGIN = 1 / 10  # of the TTL: a holder stops trusting its lease this much before the store does


class WorkerEntry(msgspec.Struct, frozen=True):
    """What the store knows of a worker process."""

    id: str
    host: str
    pid: int
    started_at: datetime  # of the process, by its host's clock
    pid_space: str  # where the pid is good: a run of a machine, or of a container
    slots: int
    queues: list[str]
    daemon: str
    busy: int = 0
    groups: str = "[]"  # JSON: [[pid, start time], …] of the process groups it runs
    lease_ends_at: datetime | None = None  # None: no lease any more
    is_stopping: bool = False  # its daemon was told to stop: an end by force is no loss


class LockLease(msgspec.Struct, frozen=True):
    """A lock held by a job of this worker."""

    name: str
    job_id: str
    token: str
    ttl_ms: int


class Renewal(msgspec.Struct, frozen=True):
    """`is_alive` false: the worker was buried, its jobs belong to others now."""

    is_alive: bool
    lost_locks: list[str]  # ids of the jobs
    to_cancel: list[str]  # ids of jobs, also of other workers


def enlist(keys: Keys, worker: WorkerEntry, ttl: timedelta = LEASE_TTL) -> Operation[None]:
    """Begin a worker's lease."""
    fields: dict[str, Argument] = {
        "host": worker.host,
        "pid": worker.pid,
        "started_at": worker.started_at.timestamp(),
        "pid_space": worker.pid_space,
        "slots": worker.slots,
        "queues": ",".join(worker.queues),
        "daemon": worker.daemon,
    }
    flat = [item for pair in fields.items() for item in pair]
    names = [keys.workers(), keys.worker(worker.id)]
    yield Script("enlist", names, [worker.id, _ms(ttl), _ms(WORKER_HASH_TTL), *flat])


def _ms(duration: timedelta) -> int:
    return round(duration / timedelta(milliseconds=1))


def renew(
    keys: Keys,
    worker: str,
    locks: Sequence[LockLease],
    *,
    groups: bytes = b"",
    busy: int = 0,
    ttl: timedelta = LEASE_TTL,
) -> Operation[Renewal]:
    """Renew the worker's lease and its jobs' locks in one call.

    Without `groups`, `busy` is not written either: a supervisor knows neither.
    """
    names = [keys.workers(), keys.worker(worker), keys.cancelling(), keys.locks()]
    args: list[Argument] = [worker, _ms(ttl), groups, busy, len(locks)]
    for lock in locks:
        names += [keys.lock(lock.name), keys.job(lock.job_id)]
        args += [lock.name, lock.job_id, lock.token, lock.ttl_ms]
    alive, lost, cancelling = yield Script("renew", names, args)
    return Renewal(bool(alive), _texts(lost), _texts(cancelling))


def _texts(items: Sequence[bytes]) -> list[str]:
    return [item.decode(errors="replace") for item in items]


def resign(keys: Keys, worker: str) -> Operation[None]:
    """End a lease on a clean exit. Entries it still has are orphans from now on."""
    yield Command(("ZREM", keys.workers(), worker))


def note_stopping(keys: Keys, workers: Sequence[str]) -> Operation[int]:
    """The daemon of these workers was told to stop; how many of them were not noted before.

    Whoever rescues their jobs then, on whatever host, counts no loss.
    """
    names = [keys.workers(), *(keys.worker(worker) for worker in workers)]
    noted: int = yield Script("drain", names, list(workers))
    return noted


def read_worker(keys: Keys, worker: str) -> Operation[WorkerEntry | None]:
    """None when the worker is unknown, or what it wrote is damaged: then nothing is trusted."""
    fields, lease_end = yield Pipeline(
        [
            Command(("HGETALL", keys.worker(worker))),
            Command(("ZSCORE", keys.workers(), worker)),
        ]
    )
    known = fields_of(fields)
    if damaged_fields(known, _READERS, _NEEDED_OF_WORKER):
        return None
    return _worker_of(worker, known, lease_end)


def read_workers(keys: Keys) -> Operation[list[WorkerEntry]]:
    """All workers that have a lease, also one that has ended and was not noticed yet."""
    flat = yield Command(("ZRANGE", keys.workers(), 0, -1, "WITHSCORES"))
    ids = _texts(flat[::2])
    if not ids:
        return []
    hashes = yield Pipeline([Command(("HGETALL", keys.worker(worker))) for worker in ids])
    return [
        _worker_of(worker, _mended(fields_of(fields), _READERS, _NEEDED_OF_WORKER), lease_end)
        for worker, fields, lease_end in zip(ids, hashes, flat[1::2], strict=True)
        if fields
    ]


def _worker_of(worker: str, fields: dict[str, str], lease_end: bytes | None) -> WorkerEntry:
    return WorkerEntry(
        id=worker,
        host=fields["host"],
        pid=whole(fields["pid"]),
        started_at=datetime.fromtimestamp(float(fields["started_at"]), UTC),
        pid_space=fields["pid_space"],
        slots=whole(fields["slots"]),
        queues=fields["queues"].split(","),
        daemon=fields["daemon"],
        busy=whole(fields.get("busy", "0")),
        groups=fields.get("groups", "[]"),
        lease_ends_at=score_instant(lease_end) if lease_end else None,
        is_stopping="stopping_since" in fields,
    )


def score_instant(score: bytes) -> datetime | None:
    """The instant of a zset's score; None for a number that is none."""
    try:
        return from_ms(int(float(score)))
    except UNREADABLE:
        return None


def _mended(fields: dict[str, str], readers: Readers, needed: dict[str, str]) -> dict[str, str]:
    return mended(fields, damaged_fields(fields, readers, needed), needed)


_READERS: Readers = {
    **dict.fromkeys(("pid", "slots", "busy", "generation", "refused"), whole),
    "started_at": lambda text: datetime.fromtimestamp(float(text), UTC),
}
_READERS_OF_DAEMON: Readers = {**_READERS, "started_at": lambda text: from_ms(whole(text))}
# What stands in a list for what was damaged. No process has such a host: nobody kills by it.
_NEEDED_OF_WORKER = {
    **dict.fromkeys(("host", "pid_space", "queues", "daemon"), "?"),
    **dict.fromkeys(("pid", "slots", "started_at"), "0"),
}
_NEEDED_OF_DAEMON = {
    **dict.fromkeys(("host", "version", "manifest", "state"), "?"),
    **dict.fromkeys(("pid", "started_at", "generation"), "0"),
}


class DaemonEntry(msgspec.Struct, frozen=True):
    """What the store knows of a supervisor."""

    id: str
    host: str
    pid: int
    version: str
    manifest: str  # path
    started_at: datetime
    generation: int  # of the manifest: counts its reloads
    state: str  # starting, running, draining
    refused: int = 0  # reloads since the start that changed nothing
    damaged_key: str = ""  # of another type, so nothing is known of this daemon, or of any


def announce(keys: Keys, daemon: DaemonEntry, ttl: timedelta = LEASE_TTL) -> Operation[None]:
    """Begin or renew a daemon's presence in `status`; nothing depends on it but what is shown."""
    fields: list[Argument] = ["host", daemon.host, "pid", daemon.pid, "version", daemon.version]
    fields += ["manifest", daemon.manifest, "started_at", to_ms(daemon.started_at)]
    fields += ["generation", daemon.generation, "state", daemon.state]
    fields += ["refused", daemon.refused]
    names = [keys.daemons(), keys.daemon(daemon.id)]
    yield Script("enlist", names, [daemon.id, _ms(ttl), _ms(ttl), *fields])


def withdraw(keys: Keys, daemon: str) -> Operation[None]:
    """Take a daemon that stops out of `status`."""
    yield Pipeline(
        [Command(("ZREM", keys.daemons(), daemon)), Command(("DEL", keys.daemon(daemon)))]
    )


def read_daemons(keys: Keys) -> Operation[list[DaemonEntry]]:
    """The daemons that are present.

    One whose key is of another type is there with this key; so is one, with the id `?`, where the
    key that names them all is: that nothing can be read of daemons tells not that there is none.
    """
    ids = _texts((yield Command(("ZRANGE", keys.daemons(), 0, -1))))
    if not ids:
        is_damaged = (yield Command(("TYPE", keys.daemons()))) not in (b"zset", b"none")
        return [_unknown_daemon("?", keys.daemons())] if is_damaged else []
    hashes = yield Pipeline([Command(("HGETALL", keys.daemon(daemon))) for daemon in ids])
    empty = [daemon for daemon, flat in zip(ids, hashes, strict=True) if not flat]
    types = (yield Pipeline([Command(("TYPE", keys.daemon(i))) for i in empty])) if empty else []
    gone = [daemon for daemon, type_ in zip(empty, types, strict=True) if type_ == b"none"]
    if gone:
        yield Command(("ZREM", keys.daemons(), *gone))
    return [
        _daemon_of(daemon, _mended(fields_of(flat), _READERS_OF_DAEMON, _NEEDED_OF_DAEMON))
        if flat
        else _unknown_daemon(daemon, keys.daemon(daemon))
        for daemon, flat in zip(ids, hashes, strict=True)
        if daemon not in gone
    ]


def _unknown_daemon(daemon: str, key: str) -> DaemonEntry:
    return replace(_daemon_of(daemon, _NEEDED_OF_DAEMON), damaged_key=key)


def _daemon_of(daemon: str, fields: dict[str, str]) -> DaemonEntry:
    return DaemonEntry(
        id=daemon,
        host=fields["host"],
        pid=whole(fields["pid"]),
        version=fields["version"],
        manifest=fields["manifest"],
        started_at=from_ms(whole(fields["started_at"])),
        generation=whole(fields["generation"]),
        state=fields["state"],
        refused=whole(fields.get("refused", "0")),
    )

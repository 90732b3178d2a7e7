"""Valid defaults for what store tests need, and a store that performs operations for them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import msgspec

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import Job, JobError, JobState, Reason
from jobrunner.store.attempts import (
    Entry,
    Finish,
    Finished,
    HeldLock,
    Start,
    StartedAs,
    Unreadable,
    claim,
    ensure_groups,
    finish,
    start,
)
from jobrunner.store.audit import audit, mend
from jobrunner.store.connection import StoreConnection
from jobrunner.store.due import promote
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.leases import WorkerEntry, enlist
from jobrunner.store.records import fields_of, read_job
from jobrunner.store.requests import Argument, Command, Operation
from jobrunner.store.submission import Submission, submit
from jobrunner.store.subscription import BlockingSubscription

T = TypeVar("T")
QUEUES = ("default", "web")
MESSAGE = message.encode(Message("demo", {"n": 1}))
AN_ERROR = msgspec.json.encode(JobError("ValueError", "bad input"))
LONG_AGO = 1_000  # milliseconds since the epoch
A_LOCK = HeldLock("report", slots=1, ttl_ms=60_000, conflict="skip")
A_WAITED_LOCK = HeldLock("report", slots=1, ttl_ms=60_000, conflict="wait")


def a_worker(worker: str = "w1") -> WorkerEntry:
    return WorkerEntry(
        id=worker,
        host="host",
        pid=4711,
        started_at=datetime(2026, 11, 21, tzinfo=UTC),
        pid_space="boot/1",
        slots=64,
        queues=list(QUEUES),
        daemon="d1",
    )


@dataclass
class Store:
    """A namespace; its methods are one operation each, or a short way into a state."""

    keys: Keys
    connection: StoreConnection
    queues: Sequence[str] = QUEUES
    numbers: Any = field(default_factory=lambda: count(1))

    def run(self, operation: Operation[T]) -> T:
        return self.connection.run(operation)

    def command(self, *args: Argument) -> Any:
        return self.connection.execute(Command(args))

    def texts(self, *args: Argument) -> list[str]:
        """A reply that is a list of texts."""
        return [item.decode() for item in self.command(*args)]

    def job(self, job_id: str) -> Job:
        return self.run(read_job(self.keys, job_id))

    def state(self, job_id: str) -> JobState:
        return self.job(job_id).state

    def record(self, job_id: str) -> dict[str, str]:
        return fields_of(self.command("HGETALL", self.keys.job(job_id)))

    def now_ms(self) -> int:
        seconds, micros = self.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    @contextmanager
    def messages(self, channel: str) -> Iterator[list[str]]:
        """What is published on the channel within the block; complete at its end."""
        received: list[str] = []
        subscription = BlockingSubscription(self.connection.address, [channel])
        subscription.connect()
        yield received
        self.command("PUBLISH", channel, "end of block")
        while (message := subscription.next_message(5)) != b"end of block":
            assert message is not None
            received.append(message.decode())
        subscription.close()

    def add_worker(self, worker: str = "w1") -> str:
        self.run(ensure_groups(self.keys, self.queues))
        self.run(enlist(self.keys, a_worker(worker)))
        return worker

    def end_lease(self, worker: str) -> None:
        """As if it had not renewed for a lease's time."""
        self.command("ZADD", self.keys.workers(), LONG_AGO, worker)

    def submission(self, **changes: Any) -> Submission:
        values: dict[str, Any] = {"id": f"job{next(self.numbers)}", "task": "demo"}
        return Submission(**values | {"message": MESSAGE} | changes)

    def submit(self, **changes: Any) -> str:
        """Submit one job, and return its id."""
        return self.run(submit(self.keys, [self.submission(**changes)]))[0].id

    def claim(self, worker: str = "w1", free: int = 100, **options: Any) -> list[Entry]:
        entries = self.run(claim(self.keys, worker, self.queues, free, **options))
        assert entries is not None
        return [entry for entry in entries if isinstance(entry, Entry)]

    def claim_unreadable(self, worker: str = "w1") -> list[Unreadable]:
        entries = self.run(claim(self.keys, worker, self.queues, 100)) or []
        return [entry for entry in entries if isinstance(entry, Unreadable)]

    def claimed(self, worker: str = "w1", **changes: Any) -> Entry:
        """A new job that the worker has claimed."""
        self.submit(**changes)
        (entry,) = self.claim(worker)
        return entry

    def running(
        self, worker: str = "w1", lock: HeldLock | None = None, task: str = "demo", **changes: Any
    ) -> Entry:
        """A new job that the worker runs."""
        entry = self.claimed(worker, task=task, **changes)
        what, _ = self.start(entry, worker, lock, task)
        assert what is StartedAs.STARTED
        return entry

    def start(
        self,
        entry: Entry,
        worker: str = "w1",
        lock: HeldLock | None = None,
        task: str = "demo",
        elapsed_ms: int = 0,
    ) -> tuple[StartedAs, str]:
        return self.run(start(self.keys, worker, [Start(entry, task, elapsed_ms, lock)]))[0]

    def end(self, entry: Entry, state: JobState = JobState.COMPLETED, **changes: Any) -> Finish:
        values: dict[str, Any] = {"task": "demo", "duration_ms": 5}
        return Finish(entry, state=state, **values | changes)

    def finish(
        self, entry: Entry, state: JobState = JobState.COMPLETED, worker: str = "w1", **changes: Any
    ) -> Finished:
        return self.run(finish(self.keys, worker, [self.end(entry, state, **changes)]))

    def finished(self, state: JobState = JobState.COMPLETED, **changes: Any) -> str:
        """A new job that has ended."""
        entry = self.claimed(**changes)
        self.finish(entry, state, task=changes.get("task", "demo"))
        return entry.job_id

    def retrying(self, **changes: Any) -> str:
        """A new job that failed once and waits for its retry."""
        entry = self.running(**changes)
        self.finish(
            entry, JobState.FAILED, reason=Reason.ERROR, error=AN_ERROR, retry_delay_ms=60_000
        )
        return entry.job_id

    def blocked(self, lock: HeldLock = A_WAITED_LOCK, **changes: Any) -> str:
        """A new job that waits for a lock that another job holds."""
        entry = self.claimed(**changes)
        what, _ = self.start(entry, lock=lock)
        assert what is StartedAs.BLOCKED
        return entry.job_id

    def make_due(self, job_id: str) -> None:
        self.command("ZADD", self.keys.scheduled(), "XX", LONG_AGO, job_id)

    def promote(self, *job_ids: str) -> int:
        return self.run(promote(self.keys, job_ids))

    def due_jobs(self) -> list[str]:
        """Scheduled and woken jobs whose time has come."""
        return self.texts("ZRANGE", self.keys.scheduled(), "-inf", self.now_ms(), "BYSCORE")

    def entries(self) -> dict[tuple[str, str], dict[str, str]]:
        """Every entry in a queue: its stream and id -> the fields."""
        return {
            (stream, entry_id.decode()): _fields_of_any(flat)
            for stream in self.texts("KEYS", self.keys.queue("*", "*"))
            for entry_id, flat in self.command("XRANGE", stream, "-", "+")
        }

    def entry_of(self, job_id: str) -> dict[str, str]:
        """The fields of a job's one entry."""
        (fields,) = [fields for fields in self.entries().values() if fields["id"] == job_id]
        return fields

    def doubled(self, entry: Entry) -> Entry:
        """A second entry of the job, made by hand and claimed."""
        fields = self.entry_of(entry.job_id)
        flat = [item for pair in fields.items() for item in pair]
        self.command("XADD", self.keys.queue(entry.queue, entry.priority), "*", *flat)
        (double,) = self.claim()
        return double

    def holders(self, lock: HeldLock = A_LOCK) -> list[str]:
        return self.texts("ZRANGE", self.keys.lock(lock.name), 0, -1)

    def waiting(self, lock: HeldLock = A_LOCK) -> list[str]:
        return self.texts("ZRANGE", self.keys.lock_waiting(lock.name), 0, -1)

    def snapshot(self) -> dict[str, Any]:
        """All keys and values, to prove that a refused call changed nothing."""
        readers = {b"hash": ("HGETALL",), b"set": ("SMEMBERS",), b"string": ("GET",)}
        found = {}
        for key in sorted(self.texts("KEYS", f"jr:{{{self.keys.name}}}:*")):
            kind = self.connection.execute(Command(("TYPE", key)))
            if kind == b"zset":
                found[key] = self.command("ZRANGE", key, 0, -1, "WITHSCORES")
            elif kind == b"stream":
                pending = self.command("XPENDING", key, GROUP)[0] if self.has_group(key) else 0
                found[key] = (self.command("XRANGE", key, "-", "+"), pending)
            elif kind == b"list":
                found[key] = self.command("LRANGE", key, 0, -1)
            else:
                found[key] = self.command(*readers[kind], key)
        return found

    def has_group(self, stream: str) -> bool:
        return bool(self.command("XINFO", "GROUPS", stream))

    def records(self) -> dict[str, dict[str, str]]:
        prefix = self.keys.job("")
        found = self.texts("KEYS", f"{prefix}*")
        return {key.removeprefix(prefix): self.record(key.removeprefix(prefix)) for key in found}


def _fields_of_any(flat: Sequence[bytes]) -> dict[str, str]:
    """As `fields_of`, also of garbage."""
    texts = [item.decode(errors="replace") for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def mend_all(store: Store) -> None:
    """What a test has damaged on purpose."""
    store.run(mend(store.keys, store.run(audit(store.keys))))


def check_indexes(store: Store) -> None:
    """All that the store holds fits together, and nothing waits for a promotion to drop it."""
    orphans = store.run(audit(store.keys))
    assert orphans == [], orphans
    records = store.records()
    scheduled = store.texts("ZRANGE", store.keys.scheduled(), 0, -1)
    assert {records[i]["state"] for i in scheduled} <= {JobState.SCHEDULED, JobState.BLOCKED}


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)

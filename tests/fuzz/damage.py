"""Damage to a namespace, as strategies: what another program, or a bug, may have written."""

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from jobrunner.store.keys import GROUP
from tests.fuzz import garbage
from tests.store.factories import Store

# A place: the kind of key, and a field of it. The odd fields are names that only garbage has.
Damage = tuple[str, str | bytes, bytes]

JOBS = ("job1", "job2", "job3")
RECORD_FIELDS = (
    *("state", "task", "queue", "priority", "created_at", "attempt", "reason", "cron", "fire_time"),
    *("due_at", "started_at", "finished_at", "duration_ms", "result", "error", "detail", "worker"),
    *("lock", "progress", "key", "after", "message", "entry", "cancel_requested", "lock_token"),
    *("usage", "left"),
)
FIELDS: dict[str, tuple[str, ...]] = {
    "record": RECORD_FIELDS,
    "cron": (
        *("schedule", "handled", "next", "paused", "job", "last_id", "last_state", "last_reason"),
        *("last_finished_at", "last_duration_ms"),
    ),
    "worker": (
        *("host", "pid", "started_at", "pid_space", "slots", "queues", "daemon", "busy", "groups"),
    ),
    "daemon": ("host", "pid", "version", "manifest", "started_at", "generation", "state"),
    "manifest": ("task:backup", "cron:nightly", "adhoc", "task:other", "cron:other", "x"),
    "counts": ("running:backup", "queued:backup", "nonsense:backup", "x"),
    "folds": ("folds", "since", "days"),
    "last": ("*", "backup"),
}
SCORES = ("-1", "1.5", "1e300", "inf", "-inf", "0", "99999999999999999")

json_bytes = garbage.json_values.map(lambda value: json.dumps(value).encode())
values = (
    garbage.odd_bytes
    | st.sampled_from((b"-1", b"1.5", b"1e300", b"nan", b"inf", b"9" * 30, b"9" * 5000, b""))
    | json_bytes
)
# A mapping almost as the daemon publishes it.
published = st.dictionaries(
    st.sampled_from(("name", "kind", "task", "params", "schedule", "words", "timezone", "queue")),
    garbage.json_values | st.just("backup"),
).map(lambda value: json.dumps(value).encode())
chunks = st.tuples(
    *(garbage.json_values | st.integers(0, 3) for _ in range(5)),
    st.lists(st.tuples(st.integers(), st.sampled_from("oex"), garbage.texts), max_size=2),
).map(lambda chunk: json.dumps(chunk).encode())


def _of_hash(kind: str) -> st.SearchStrategy[Damage]:
    return st.tuples(st.just(kind), st.sampled_from(FIELDS[kind]), values | published)


_zsets = st.sampled_from(
    ("scheduled", "blocked", "running", "done", "task_done", "workers", "daemons", "locks", "lock")
)
damages = st.lists(
    st.one_of(
        *[_of_hash("record")] * 3,
        *(_of_hash(kind) for kind in FIELDS),
        st.tuples(
            _zsets,
            st.sampled_from((*JOBS, "w1", "d1", "report")) | garbage.odd_bytes,
            st.sampled_from(SCORES).map(str.encode),
        ),
        st.tuples(
            st.sampled_from(("queues", "cancelling", "control", "tally", "log", "stream")),
            st.sampled_from(("c", "id", "x", "")) | garbage.odd_bytes,
            values | chunks,
        ),
    ),
    min_size=1,
    max_size=6,
)


def inflict(store: Store, damage: Damage) -> None:
    """Write it, as anybody could."""
    kind, field, value = damage
    keys = store.keys
    if kind == "record":
        for job in JOBS:
            store.command("HSET", keys.job(job), field, value)
    elif kind in ("cron", "worker", "daemon"):
        name = {"cron": "nightly", "worker": "w1", "daemon": "d1"}[kind]
        store.command("HSET", getattr(keys, kind)(name), field, value)
    elif kind in ("manifest", "counts", "folds", "last"):
        key = keys.last_job() if kind == "last" else getattr(keys, kind)()
        store.command("HSET", key, field, value)
    else:
        _inflict_other(store, kind, field, value)


def _inflict_other(store: Store, kind: str, field: str | bytes, value: bytes) -> None:
    keys = store.keys
    if kind in ("queues", "cancelling"):
        store.command("SADD", getattr(keys, kind)(), value)
    elif kind == "control":
        store.command("RPUSH", keys.control("w1"), value)
    elif kind == "tally":
        store.command("RPUSH", keys.tally(), value)
    elif kind in ("log", "stream"):
        key = keys.log("job1") if kind == "log" else keys.queue("default", "normal")
        store.command("XADD", key, "*", field, value)
    else:
        named = {"done": "failed", "task_done": "backup", "lock": "report"}
        key = getattr(keys, kind)(*([named[kind]] if kind in named else []))
        store.command("ZADD", key, value, field)


def add_entries(store: Store, entries: Sequence[list[bytes]]) -> None:
    """Put what may be no jobs into a queue."""
    for fields in entries:
        store.command("XADD", store.keys.queue("default", "normal"), "*", *fields)


def pending(store: Store) -> int:
    """How many entries of the queue are claimed and not acked."""
    found: int = store.command("XPENDING", store.keys.queue("default", "normal"), GROUP)[0]
    return found


# Entries of the shape that our scripts write, with values of any kind; and of any other shape.
_SHAPE = (b"id", b"m", b"n", b"l", b"f", b"b")
_messages = (
    json_bytes
    | st.sampled_from((b'["backup",{}]', b'["add",{"a":1}]', b'["nothing",{}]', b"[" * 600))
    | values
)
_shaped = st.tuples(
    st.sampled_from((b"good", b"gone", b"job1", b"", b"\xff", "ß".encode())) | garbage.odd_bytes,
    _messages,
    *(st.sampled_from((b"0", b"1")) | values for _ in range(4)),
).map(lambda found: [part for pair in zip(_SHAPE, found, strict=True) for part in pair])
_any_fields = st.lists(st.tuples(garbage.odd_bytes, values), min_size=1, max_size=4).map(
    lambda pairs: [part for pair in pairs for part in pair]
)
entries = st.lists(_shaped | _any_fields, max_size=12)

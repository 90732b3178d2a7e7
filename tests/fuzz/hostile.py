"""What something else may write under every kind of key, by the type that the key should have."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobrunner.store.keys import Keys
from jobrunner.store.keyspace import TYPES, Family, KeyReader

# Methods of `Keys` that name no key: a pattern, channels, and what a repair has put aside.
NO_KEYS = frozenset({"all", "wake_channel", "client_channel", "aside"})
ARGUMENTS: Mapping[str, tuple[Any, ...]] = {
    "job": ("victim1",),
    "queue": ("other", "normal"),
    "done": ("completed",),
    "task_done": ("victim",),
    "stats": ("1h", 1),
    "lock": ("spare",),
    "lock_waiting": ("spare",),
    "watchers": ("victim1",),
    "unique": ("spare",),
    "cron": ("victim",),
    "cron_boots": ("victim",),
    "log": ("victim1",),
    "daemon": ("d9",),
    "known_tasks": ("d9",),
    "worker": ("w9",),
    "control": ("w9",),
}
TEXT = b"\xff\xfe\x00\x1b[31m"
DEEP = b"[" * 100_000
VALUES: Mapping[str, bytes] = {
    "text": TEXT,
    "huge": b"9" * 5000,
    "negative": b"-1",
    "nan": b"nan",
    "infinite": b"1e999",
    "empty": b"",
    "deep": DEEP,
    "late": b"253402300799000000",
}
SCORES: Mapping[str, bytes] = {
    "text": b"1",
    "huge": b"1e300",
    "negative": b"-5",
    "infinite": b"inf",
    "first": b"-inf",
}
FIELDS: Mapping[Family, tuple[str, ...]] = {
    Family.RECORD: ("state", "created_at", "attempt", "finished_at", "priority", "fence", "entry"),
    Family.CRON: ("handled", "next", "since", "job", "last_state", "last_finished_at", "schedule"),
    Family.WORKER: ("host", "pid", "started_at", "slots", "queues", "daemon", "groups"),
    Family.DAEMON: ("host", "pid", "started_at", "generation", "state"),
    Family.MANIFEST: ("task:victim", "cron:victim", "digest", "adhoc"),
    Family.COUNTS: ("queued:victim", "running:ok", "x"),
    Family.FOLDS: ("folds", "since", "days"),
    Family.SERVER: ("since", "run_id"),
    Family.LAST: ("victim", "*"),
    Family.STATS: ("victim", "*"),
}


def methods() -> set[str]:
    """The methods of `Keys` that name a key."""
    found = inspect.getmembers(Keys, inspect.isfunction)
    return {name for name, _ in found if not name.startswith("_")} - NO_KEYS


def key_of(keys: Keys, method: str) -> str:
    key: str = getattr(keys, method)(*ARGUMENTS.get(method, ()))
    return key


def family_of(keys: Keys, method: str) -> Family:
    part = KeyReader(keys).part(key_of(keys, method))
    assert part is not None, f"no family of keys has what Keys.{method} names"
    return part.family


@dataclass(frozen=True)
class Damage:
    """To the key that a method names: commands, and a word for what they do."""

    method: str
    what: str
    commands: tuple[tuple[str | bytes, ...], ...]


def damages(keys: Keys) -> Iterator[Damage]:
    """Every damage to every kind of key."""
    for method in sorted(methods()):
        key, family = key_of(keys, method), family_of(keys, method)
        yield wrong_type(method, key, TYPES[family])
        for what, commands in BY_TYPE[TYPES[family]](key, family).items():
            yield Damage(method, what, commands)


def wrong_type(method: str, key: str, type_: str) -> Damage:
    other = ("RPUSH", key, "x") if type_ == "string" else ("SET", key, "x")
    return Damage(method, "wrong type", (("DEL", key), other))


Commands = tuple[tuple[str | bytes, ...], ...]


def _hash(key: str, family: Family) -> dict[str, Commands]:
    return {
        what: tuple(("HSET", key, field, value) for field in FIELDS[family])
        for what, value in VALUES.items()
        if family in FIELDS
    }


def _zset(key: str, _: Family) -> dict[str, Commands]:
    return {
        what: (("ZADD", key, score, TEXT if what == "text" else f"stray-{what}"),)
        for what, score in SCORES.items()
    }


def _set(key: str, _: Family) -> dict[str, Commands]:
    return {"text": (("SADD", key, TEXT),), "empty": (("SADD", key, b""),)}


def _list(key: str, _: Family) -> dict[str, Commands]:
    items = {**VALUES, "number": b"1 completed=NaN t", "late": b"99999999999999999999 failed=1 t"}
    return {what: (("RPUSH", key, item),) for what, item in items.items()}


def _string(key: str, _: Family) -> dict[str, Commands]:
    return {what: (("SET", key, value),) for what, value in VALUES.items()}


def _entry(job_id: bytes, number: bytes, fence: bytes) -> tuple[bytes, ...]:
    """As a script writes it, with such numbers."""
    numbers = (b"n", number, b"l", b"0", b"f", fence, b"b", b"0")
    return (b"id", job_id, b"m", b'["ok",{}]', *numbers)


def _stream(key: str, _: Family) -> dict[str, Commands]:
    entries: dict[str, tuple[bytes, ...]] = {
        "text": (TEXT, TEXT),
        "id": (b"id", TEXT, b"m", b'["ok",{}]'),
        "empty": (b"id", b"", b"m", b""),
        "order": (b"m", b"1", b"id", b"2"),
        "deep": (b"id", b"deep1", b"m", b'["ok",{"x":' + DEEP + b"]"),
        "huge": _entry(b"n1", b"9" * 5000, b"1"),
        "large": _entry(b"n2", b"9" * 300, b"1"),
        "negative": _entry(b"n3", b"-7", b"-1"),
        "late": (b"id", b"n4", b"m", b'["ok",{},[],{},"victim",99999999999999999999999]'),
        "nan": (b"id", b"n5", b"m", b'["ok",{"x":NaN}]'),
        "folder": (b"id", b"../../../tmp/evil", b"m", b'["ok",{}]'),
        "chunk": (b"c", b'[1,"1",0,0,5,[[1e308,"o","x"]]]'),
    }
    return {what: (("XADD", key, "*", *fields),) for what, fields in entries.items()}


BY_TYPE: Mapping[str, Callable[[str, Family], dict[str, Commands]]] = {
    "hash": _hash,
    "zset": _zset,
    "set": _set,
    "list": _list,
    "string": _string,
    "stream": _stream,
}

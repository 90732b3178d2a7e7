"""Values that jobrunner cannot have written: fields, members and items of every kind of key.

Read a page at a time, judged here, and taken out by a script that first looks whether they still
are what was judged. Results, messages and output are not looked at: they are large, and whoever
shows them copes with what they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.decoding import LATEST_MS, is_text, text_of, whole_of
from jobrunner.store.keys import Keys
from jobrunner.store.keyspace import TYPES, Family, KeyReader, Keyspace
from jobrunner.store.leases import LEASE_TTL
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.published import is_readable
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script
from jobrunner.store.room import NO_END
from jobrunner.store.tallies import is_tally

PAGE = 200  # keys or members per step
LONGEST_NAME = 1000  # bytes, of a queue
Check = Callable[[bytes], bool]


class _Part(msgspec.Struct, frozen=True):
    """A damaged part: its name and what it holds, as it was read; '' for what is put in its place
    when it is to be taken away."""

    name: bytes
    held: bytes = b""
    new: Argument = ""


def _instant(raw: bytes) -> bool:
    return whole_of(raw, 0, LATEST_MS) is not None


def _number(raw: bytes) -> bool:
    return whole_of(raw, 0, 2**53) is not None


def _seconds(raw: bytes) -> bool:
    try:
        return 0 <= float(raw) <= LATEST_MS / 1000
    except ValueError:
        return False


def _word(kind: type[JobState] | type[Reason] | type[Priority]) -> Check:
    words = {item.value.encode() for item in kind}
    return lambda raw: raw in words


def _empty_or(check: Check) -> Check:
    return lambda raw: raw == b"" or check(raw)


def _json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


_INSTANTS = ("handled", "next", "since", "set_back_at", "set_back_from", "made_after", "made_until")
_PROCESS: dict[str, Check] = {
    **dict.fromkeys(("pid", "slots", "busy", "renewed_at", "generation", "refused"), _number),
    **dict.fromkeys(("host", "queues", "daemon", "pid_space", "version", "manifest"), is_text),
    "started_at": _seconds,
    "groups": _json,
    "state": is_text,
}
_FIELDS: Mapping[Family, Mapping[str, Check]] = {
    Family.CRON: {
        **dict.fromkeys(_INSTANTS, _instant),
        **dict.fromkeys(("schedule", "job", "last_id"), is_text),
        "last_state": _word(JobState),
        "last_reason": _empty_or(_word(Reason)),
        "last_finished_at": _instant,
        "last_duration_ms": _number,
    },
    Family.WORKER: _PROCESS,
    Family.DAEMON: {**_PROCESS, "started_at": _instant},
    Family.FOLDS: dict.fromkeys(("folds", "since", "days"), _number),
    Family.SERVER: {"since": _number, "run_id": is_text},
    Family.RECORD: {
        **dict.fromkeys(("attempt", "lost", "base", "fence", "parked"), _number),
        **dict.fromkeys(("fire_time", "due_at", "started_at", "finished_at"), _instant),
        **dict.fromkeys(("lock_token", "lock_ttl", "duration_ms"), _number),
        "created_at": _instant,
        "priority": _word(Priority),
        "queue": is_text,
        "task": is_text,
        "reason": _word(Reason),
        **dict.fromkeys(("cron", "worker", "lock", "detail", "after", "key", "entry"), is_text),
        "error": _json,
        "progress": _json,
    },
}
# What a record must have, where something else has taken it away.
_STANDING_IN: Mapping[str, Argument] = {
    "created_at": 0,
    "priority": "normal",
    "queue": "default",
    "task": "?",
}


def check_values(keys: Keys, space: Keyspace) -> Operation[list[Orphan]]:
    """Everything in keys of the right type that jobrunner cannot have written."""
    found: list[Orphan] = []
    for family in Family:
        if family is Family.RECORD:
            found += yield from _check_records(keys, space.names(family))
            continue
        for key in list(space.keys(family)):
            for part in (yield from _damaged_in(key, family)):
                name = text_of(part.name)[:200]
                found.append(Orphan(Kind.DAMAGED, key, name, "", text_of(part.held)[:40]))
    return found


def mend_values(keys: Keys, orphans: Sequence[Orphan]) -> Operation[list[Orphan]]:
    """Take out what is still damaged in the keys of these; returns those that were mended."""
    mended: list[Orphan] = []
    for key in dict.fromkeys(orphan.key for orphan in orphans):
        part = KeyReader(keys).part(key)
        if part is None:
            continue
        if part.family is Family.RECORD:
            damaged = (yield from _damaged_records(keys, [part.name]))[part.name]
        else:
            damaged = yield from _damaged_in(key, part.family)
        is_clean = yield from _clean(key, part.family, damaged)
        if is_clean:
            mended += [orphan for orphan in orphans if orphan.key == key]
    return mended


def _clean(key: str, family: Family, damaged: Sequence[_Part]) -> Operation[bool]:
    lease_ms = round(LEASE_TTL.total_seconds() * 1000) if family is Family.WORKERS else ""
    args: list[Argument] = [TYPES[family], lease_ms]
    for part in damaged:
        args += [part.name, part.held, part.new]
    if family is Family.MANIFEST and damaged:
        # Without it, a daemon publishes all of it anew.
        digest = yield Command(("HGET", key, "digest"))
        args += [b"digest", digest or b"", ""]
    replies = (yield Script("clean", [key], args)) if damaged else [1]
    return all(replies[: len(damaged)])


def _damaged_in(key: str, family: Family) -> Operation[list[_Part]]:
    type_ = TYPES[family]
    if type_ == "hash":
        flat = yield Command(("HGETALL", key))
        return [part for part in _pairs(flat) if not _is_sound_field(family, part)]
    if type_ == "zset":
        return (yield from _damaged_members(key))
    if type_ == "set":
        members = yield Command(("SMEMBERS", key))
        return [_Part(member) for member in members if not _is_name(member, family)]
    if type_ == "list":
        items = yield Command(("LRANGE", key, 0, -1))
        is_sound = _is_item if family is Family.TALLY else is_text
        return [_Part(item) for item in dict.fromkeys(items) if not is_sound(item)]
    if family is Family.FULL:
        life = yield Command(("PTTL", key))
        return [_Part(b"", (yield Command(("GET", key))) or b"")] if life == NO_END else []
    if family is Family.TOKENS:
        value = yield Command(("GET", key))
        return [] if value is None or _number(value) else [_Part(b"", value, 1)]
    return []


def _pairs(flat: Sequence[bytes]) -> Iterator[_Part]:
    for name, held in zip(flat[::2], flat[1::2], strict=True):
        yield _Part(name, held)


def _is_sound_field(family: Family, part: _Part) -> bool:
    if not is_text(part.name):
        return False
    if family is Family.COUNTS:
        return whole_of(part.held) is not None
    if family is Family.LAST:
        return is_text(part.held)
    if family is Family.STATS:
        return is_tally(text_of(part.held))
    if family is Family.MANIFEST:
        return is_readable(part.name, part.held)
    check = _FIELDS[family].get(text_of(part.name))
    return check is None or check(part.held)


def _damaged_members(key: str) -> Operation[list[_Part]]:
    found, start = [], 0
    while True:
        page = yield Command(("ZRANGE", key, start, start + PAGE - 1, "WITHSCORES"))
        for part in _pairs(page):
            if not is_text(part.name):
                found.append(part)
            elif not _is_score(part.held):
                found.append(_Part(part.name, part.held, 1))
        start += PAGE
        if len(page) < 2 * PAGE:
            return found


def _is_score(raw: bytes) -> bool:
    try:
        return 0 <= float(raw) <= LATEST_MS
    except ValueError:
        return False


def _is_name(raw: bytes, family: Family) -> bool:
    is_short = family is not Family.QUEUES or 0 < len(raw) <= LONGEST_NAME
    return is_short and is_text(raw)


def _is_item(raw: bytes) -> bool:
    second, _, rest = raw.partition(b" ")
    tally, _, task = rest.partition(b" ")
    return whole_of(second, 0, LATEST_MS) is not None and bool(task) and is_tally(text_of(tally))


def _check_records(keys: Keys, job_ids: Sequence[str]) -> Operation[list[Orphan]]:
    found = []
    for start in range(0, len(job_ids), PAGE):
        damaged = yield from _damaged_records(keys, job_ids[start : start + PAGE])
        for job_id, parts in damaged.items():
            for part in parts:
                name, held = text_of(part.name), text_of(part.held)[:40]
                found.append(Orphan(Kind.DAMAGED, keys.job(job_id), name, job_id, held))
    return found


def _damaged_records(keys: Keys, job_ids: Sequence[str]) -> Operation[dict[str, list[_Part]]]:
    checks = _FIELDS[Family.RECORD]
    replies: list[list[Any]] = yield Pipeline(
        [Command(("HMGET", keys.job(job_id), "state", *checks)) for job_id in job_ids]
    )
    return {
        job_id: list(_damaged_fields(checks, values)) if text_of(values[0]) in set(JobState) else []
        for job_id, values in zip(job_ids, replies, strict=True)
    }


def _damaged_fields(checks: Mapping[str, Check], values: Sequence[bytes | None]) -> Iterator[_Part]:
    for (name, check), value in zip(checks.items(), values[1:], strict=True):
        is_missing = value is None and name in _STANDING_IN
        if is_missing or (value is not None and not check(value)):
            yield _Part(name.encode(), value or b"", _STANDING_IN.get(name, ""))

"""Keys of another type than jobrunner writes: taken out of the way, and what is derived made anew.

What only tells again what is known elsewhere is deleted: the other checks, or the daemon's next
beat, make it anew. What nobody can make anew is kept under another name for a month.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from jobrunner.clock import to_ms
from jobrunner.store.decoding import time_of
from jobrunner.store.keys import Keys
from jobrunner.store.keyspace import TYPES, Family, KeyReader, Keyspace, read_keyspace
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Argument, Command, Operation, Pipeline, Script
from jobrunner.store.rescue import find_orphans

KEPT_FOR = timedelta(days=30)
_KEPT = frozenset({Family.RECORD, Family.QUEUE, Family.CRON, Family.LOG, Family.BOOTS})


def check_types(space: Keyspace) -> list[Orphan]:
    """A finding per key of another type."""
    return [
        Orphan(
            Kind.WRONG_TYPE,
            strange.key,
            strange.key,
            strange.part.name if strange.part.family is Family.RECORD else "",
            f"is a {strange.type}, not a {TYPES[strange.part.family]}",
        )
        for strange in space.strange
    ]


def mend_types(keys: Keys, orphans: Sequence[Orphan]) -> Operation[list[Orphan]]:
    """Take those that are still of another type out of the way; returns them."""
    mended = []
    for orphan in orphans:
        part = KeyReader(keys).part(orphan.key)
        if part is not None and (yield from _mend(keys, orphan.key, part.family)):
            mended.append(orphan)
    families = {part.family for o in mended if (part := KeyReader(keys).part(o.key))}
    if families & {Family.QUEUES, Family.LOCKS, Family.QUEUE, Family.DAEMONS}:
        yield from _name_again(keys, families)
    return mended


def _mend(keys: Keys, key: str, family: Family) -> Operation[bool]:
    if family is Family.WORKERS:
        # Whoever deletes the leases buries all workers: this gives each of them a new one.
        space = yield from read_keyspace(keys)
        yield from find_orphans(keys, space.names(Family.QUEUE), bury_ended=False)
        found = yield Command(("TYPE", key))
        return bool(found in (b"zset", b"none"))
    return (yield from set_aside(keys, key, TYPES[family], is_kept=family in _KEPT))


def set_aside(keys: Keys, key: str, type_: str, *, is_kept: bool = True) -> Operation[bool]:
    """Take a key away unless it has this type; `is_kept`: under another name for a month."""
    life_ms = KEPT_FOR // timedelta(milliseconds=1)
    args: list[Argument] = [type_, 1 if is_kept else "", life_ms]
    return bool((yield Script("set_aside", [key, keys.aside(key)], args)))


def _name_again(keys: Keys, families: Iterable[Family]) -> Operation[None]:
    """What an index named that is found by its keys."""
    space = yield from read_keyspace(keys)
    queues, locks = space.names(Family.QUEUE), space.names(Family.LOCK)
    if queues:
        yield Command(("SADD", keys.queues(), *queues))
    if Family.DAEMONS in families:
        yield from _name_daemons(keys, space.names(Family.DAEMON))
    if Family.LOCKS in families and locks:
        ends = yield Pipeline(
            [Command(("ZRANGE", keys.lock(name), 0, 0, "WITHSCORES")) for name in locks]
        )
        pairs = [(end[1], name) for name, end in zip(locks, ends, strict=True) if end]
        if pairs:
            yield Command(("ZADD", keys.locks(), *(item for pair in pairs for item in pair)))


def _name_daemons(keys: Keys, ids: Sequence[str]) -> Operation[None]:
    """Each for as long as its own key lives: that is how long it counts as there."""
    if not ids:
        return
    now, *lives = yield Pipeline(
        [Command(("TIME",)), *(Command(("PTTL", keys.daemon(i))) for i in ids)]
    )
    ends = [(to_ms(time_of(now)) + life, i) for i, life in zip(ids, lives, strict=True) if life > 0]
    if ends:
        yield Command(("ZADD", keys.daemons(), *(item for pair in ends for item in pair)))

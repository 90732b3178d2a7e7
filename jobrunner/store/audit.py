"""Whether all that the store holds fits together: every job is where its record says it is.

What is wrong is judged inside the scripts `check_*.lua`, a page of jobs at a time. Every
transition is one script, too, so a page is exact while jobs move; what a caller read before it may
be old by then, which is why everything found is looked at a second time. Mending is the same script
with a flag: it judges again in the step in which it mends, so it never touches what has come right.

    orphans = connection.run(audit(keys))
    mended = connection.run(mend(keys, orphans))
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from jobrunner.store.audit_counts import check_counts
from jobrunner.store.audit_crons import check_crons
from jobrunner.store.audit_keys import check_leftovers, check_watchers
from jobrunner.store.audit_members import INDEXES, check_index, check_members
from jobrunner.store.audit_queues import Claimed, check_entries, check_queue
from jobrunner.store.audit_records import check_records
from jobrunner.store.audit_types import check_types, mend_types, set_aside
from jobrunner.store.audit_values import check_values, mend_values
from jobrunner.store.keys import Keys
from jobrunner.store.keyspace import Family, Keyspace, read_keyspace
from jobrunner.store.orphan import Kind, Orphan
from jobrunner.store.requests import Operation

# In this order they are mended: counts last, when all else is where it belongs.
RECORDS = frozenset({Kind.NO_ENTRY, Kind.NOT_INDEXED, Kind.ASLEEP, Kind.NO_STATE})
DAMAGE = frozenset({Kind.WRONG_TYPE, Kind.DAMAGED, Kind.NO_STATE, Kind.AHEAD})
ENTRIES = frozenset({Kind.STALE_ENTRY, Kind.GHOST})
MEMBERS = frozenset({Kind.STALE_MEMBER, Kind.STALE_LOCK})


def audit(keys: Keys) -> Operation[list[Orphan]]:
    """Everything that does not fit; empty for a sound store, also while jobs move.

    About 20 microseconds of the server's time per job, in steps of some milliseconds; the
    counts in one step (see `audit_counts`).
    """
    space = yield from read_keyspace(keys)
    found = yield from _first_look(keys, space)
    again = yield from _look(keys, found, mends=False)
    seen = {orphan.what for orphan in found}
    # Damage does not come right by the moving of jobs.
    damaged = [orphan for orphan in found if orphan.kind in DAMAGE - RECORDS]
    return [*damaged, *(orphan for orphan in again if orphan.what in seen)]


def mend(keys: Keys, orphans: Sequence[Orphan]) -> Operation[list[Orphan]]:
    """Mend those that are still wrong; returns the mended ones.

    Left alone are jobs that a worker with a lease has. What is damaged comes first: after that
    other things may be missing, which are looked for anew.
    """
    mended = yield from _mend_damage(keys, orphans)
    if mended:
        orphans = yield from audit(keys)
        mended += yield from _mend_damage(keys, orphans)
    mended += yield from _mend_order(keys, [o for o in orphans if o.kind not in DAMAGE])
    return mended


def _mend_damage(keys: Keys, orphans: Sequence[Orphan]) -> Operation[list[Orphan]]:
    """Keys of another type, what cannot be read, and what a clock that was ahead has left."""
    mended = yield from mend_types(keys, [o for o in orphans if o.kind is Kind.WRONG_TYPE])
    mended += yield from mend_values(keys, [o for o in orphans if o.kind is Kind.DAMAGED])
    for orphan in orphans:
        if orphan.kind is Kind.NO_STATE and (yield from set_aside(keys, orphan.key, "")):
            mended.append(orphan)
    ahead = [orphan.key for orphan in orphans if orphan.kind is Kind.AHEAD]
    mended += yield from check_crons(ahead, mends=True)
    return mended


def _mend_order(keys: Keys, orphans: Sequence[Orphan]) -> Operation[list[Orphan]]:
    """What is not where its record says."""
    others = [orphan for orphan in orphans if orphan.kind is not Kind.WRONG_COUNT]
    mended = yield from _look(keys, others, mends=True)
    left = yield from _look(keys, others, mends=False)
    if orphans and not _is_any_misplaced(left):
        mended += yield from check_counts(keys, mends=True)
    return mended


def _first_look(keys: Keys, space: Keyspace) -> Operation[list[Orphan]]:
    found = check_types(space)
    found += yield from check_values(keys, space)
    found += yield from check_crons(list(space.keys(Family.CRON)), mends=False)
    found += yield from check_records(keys, space.names(Family.RECORD), mends=False)
    for key in space.keys(Family.QUEUE):
        found += yield from check_queue(keys, key)
    for key in space.keys(*INDEXES):
        found += yield from check_index(keys, key)
    found += yield from check_watchers(keys, space.names(Family.WATCHERS), mends=False)
    for family in (Family.LOG, Family.UNIQUE):
        found += yield from check_leftovers(keys, list(space.keys(family)), mends=False)
    if not _is_any_misplaced(found):
        found += yield from check_counts(keys, mends=False)
    return found


def _is_any_misplaced(orphans: Sequence[Orphan]) -> bool:
    """Then the counts say nothing: they are counted where jobs belong, and some are not there."""
    return any(orphan.kind in RECORDS for orphan in orphans)


def _look(keys: Keys, orphans: Sequence[Orphan], *, mends: bool) -> Operation[list[Orphan]]:
    """The same checks for what was found before."""
    ids = _unique(orphan.id for orphan in orphans if orphan.kind in RECORDS)
    found = yield from check_records(keys, ids, mends=mends)
    for key, some in _by_key(orphans, ENTRIES).items():
        claimed = [Claimed(orphan.id, orphan.job_id) for orphan in some]
        found += yield from check_entries(keys, key, claimed, mends=mends)
    for key, some in _by_key(orphans, MEMBERS).items():
        found += yield from check_members(keys, key, [o.id for o in some], mends=mends)
    watched = [orphan.id for orphan in orphans if orphan.kind is Kind.STALE_WATCHERS]
    found += yield from check_watchers(keys, watched, mends=mends)
    leftovers = [orphan.key for orphan in orphans if orphan.kind is Kind.LEFTOVER]
    found += yield from check_leftovers(keys, leftovers, mends=mends)
    if any(orphan.kind is Kind.WRONG_COUNT for orphan in orphans):
        found += yield from check_counts(keys, mends=mends)
    return found


def _unique(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _by_key(orphans: Sequence[Orphan], kinds: frozenset[Kind]) -> dict[str, list[Orphan]]:
    found: dict[str, list[Orphan]] = defaultdict(list)
    for orphan in orphans:
        if orphan.kind in kinds:
            found[orphan.key].append(orphan)
    return found

"""Finding and taking back what dead workers had claimed. Killing their processes comes first:
see `jobrunner/rescuer.py`, which calls these in that order."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from jobrunner.clock import from_ms
from jobrunner.store.attempts import Entry, Unreadable, entry_of, queue_streams
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import GROUP, Keys
from jobrunner.store.leases import LEASE_TTL
from jobrunner.store.requests import Command, Operation, Pipeline, Script

BATCH = 200  # entries per step
AT_ONCE = 50  # of them per reply: each may have megabytes of arguments


class Orphan(msgspec.Struct, frozen=True):
    """Entries of one queue and level that a dead worker had claimed."""

    worker: str
    queue: str
    priority: str


def known_queues(keys: Keys) -> Operation[tuple[list[str], datetime]]:
    """Every queue that was ever declared or submitted to, and the time by the store's clock."""
    names, (seconds, micros) = yield Pipeline(
        [Command(("SMEMBERS", keys.queues())), Command(("TIME",))]
    )
    at = from_ms(int(seconds) * 1000 + int(micros) // 1000)
    return sorted(text_of(name) for name in names), at


def find_orphans(
    keys: Keys,
    queues: Sequence[str],
    dead: str = "",
    *,
    bury_ended: bool = True,
    after_return: timedelta = LEASE_TTL,
    lease: timedelta = LEASE_TTL,
) -> Operation[list[Orphan]]:
    """Bury workers whose lease has ended, and `dead`, known to be so; list what the buried held.

    No lease has ended before the server is back for `after_return`: each worker that lives has
    renewed by then. `lease` is how long one lasts; what ends later than in four of them was given
    by a clock that was ahead.
    """
    streams = queue_streams(keys, queues)
    names = [keys.workers(), keys.server(), *(key for _, _, key in streams)]
    wait_ms = after_return // timedelta(milliseconds=1)
    bury = 1 if bury_ended else ""
    lease_ms = lease // timedelta(milliseconds=1)
    reply = yield Script("orphans", names, [GROUP, dead, bury, wait_ms, lease_ms])
    return [
        Orphan(text_of(worker), streams[index][0], streams[index][1]) for index, worker in reply
    ]


def read_claimed(
    keys: Keys, orphan: Orphan, after: str | None = None
) -> Operation[list[Entry | Unreadable]]:
    """One batch of the entries a worker has claimed in a queue, later than entry `after`."""
    stream = keys.queue(orphan.queue, orphan.priority)
    first = "-" if after is None else f"({after}"
    pending = yield Command(("XPENDING", stream, GROUP, first, "+", BATCH, orphan.worker))
    ids = [text_of(item[0]) for item in pending]
    if not ids:
        return []
    ranges: list[Any] = []
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        ranges += yield Pipeline([Command(("XRANGE", stream, i, i)) for i in some])
    found = {text_of(entry[0][0]): entry[0][1] for entry in ranges if entry}
    ghosts = [entry_id for entry_id in ids if entry_id not in found]
    if ghosts:
        # Deleted by hand from the stream: nothing is left that could be done.
        yield Command(("XACK", stream, GROUP, *ghosts))
    return [
        entry_of(entry_id, orphan.queue, orphan.priority, fields)
        for entry_id, fields in found.items()
    ]


Place = tuple[str, str]  # queue and level


def find_claimed_by(
    keys: Keys, worker: str, queues: Sequence[str], after: Mapping[Place, str] | None = None
) -> Operation[list[Entry | Unreadable]]:
    """Up to one batch per queue and level of what a worker has claimed, later than `after`."""
    found: list[Entry | Unreadable] = []
    for queue, level, _ in queue_streams(keys, queues):
        last = after.get((queue, level)) if after else None
        found += yield from read_claimed(keys, Orphan(worker, queue, level), last)
    return found


def forget_worker(keys: Keys, worker: str) -> Operation[None]:
    """Drop a buried worker's hash and control list, once it holds nothing."""
    yield Command(("DEL", keys.worker(worker), keys.control(worker)))

"""Which keys a namespace has, and of which type each is. Only `doctor` asks: it looks for what no
index names, and for what something else has written."""

from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from jobrunner.model import TERMINAL, Priority
from jobrunner.store.decoding import is_text
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation

PAGE = 1000  # keys per step: well under a millisecond of the server's time


class Family(StrEnum):
    """Kinds of keys. A test holds them against `Keys`."""

    RECORD = "record"
    QUEUE = "queue"
    QUEUES = "queues"
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    RUNNING = "running"
    CANCELLING = "cancelling"
    RESULTS = "results"
    DONE = "done"  # of a state
    TASK_DONE = "task_done"  # of a task
    PARKED = "parked"
    LOCK = "lock"
    LOCKS = "locks"
    WAITING = "waiting"  # for a lock
    TOKENS = "tokens"
    WATCHERS = "watchers"  # of a job
    UNIQUE = "unique"  # idempotency key
    LOG = "log"  # of a job
    CRON = "cron"
    BOOTS = "boots"  # of a cron
    COUNTS = "counts"
    LAST = "last"
    TALLY = "tally"
    FOLDS = "folds"
    STATS = "stats"  # a window and a bucket
    WORKERS = "workers"
    WORKER = "worker"
    CONTROL = "control"  # of a worker
    DAEMONS = "daemons"
    DAEMON = "daemon"
    KNOWERS = "knowers"
    KNOWS = "knows"  # a daemon
    MANIFEST = "manifest"
    SERVER = "server"
    FULL = "full"


_OF_TYPE: dict[str, tuple[Family, ...]] = {
    "hash": (
        *(Family.RECORD, Family.CRON, Family.COUNTS, Family.LAST, Family.FOLDS, Family.STATS),
        *(Family.WORKER, Family.DAEMON, Family.MANIFEST, Family.SERVER),
    ),
    "stream": (Family.QUEUE, Family.LOG),
    "zset": (
        *(Family.SCHEDULED, Family.BLOCKED, Family.RUNNING, Family.RESULTS, Family.DONE),
        *(Family.TASK_DONE, Family.PARKED, Family.LOCK, Family.LOCKS, Family.WAITING),
        *(Family.WORKERS, Family.DAEMONS, Family.KNOWERS),
    ),
    "set": (Family.QUEUES, Family.CANCELLING, Family.WATCHERS, Family.BOOTS, Family.KNOWS),
    "list": (Family.TALLY, Family.CONTROL),
    "string": (Family.TOKENS, Family.UNIQUE, Family.FULL),
}
TYPES = {family: type_ for type_, families in _OF_TYPE.items() for family in families}


class Part(msgspec.Struct, frozen=True):
    """A key: its family, and what it is of: a job, a task, a state, a lock, or nothing."""

    family: Family
    name: str


class KeyReader:
    """Says what a key of a namespace is."""

    def __init__(self, keys: Keys) -> None:
        self._singles = {
            keys.scheduled(): Family.SCHEDULED,
            keys.blocked(): Family.BLOCKED,
            keys.running(): Family.RUNNING,
            keys.cancelling(): Family.CANCELLING,
            keys.results(): Family.RESULTS,
            keys.queues(): Family.QUEUES,
            keys.parked(): Family.PARKED,
            keys.locks(): Family.LOCKS,
            keys.tokens(): Family.TOKENS,
            keys.counts(): Family.COUNTS,
            keys.last_job(): Family.LAST,
            keys.tally(): Family.TALLY,
            keys.folds(): Family.FOLDS,
            keys.workers(): Family.WORKERS,
            keys.daemons(): Family.DAEMONS,
            keys.knowers(): Family.KNOWERS,
            keys.manifest(): Family.MANIFEST,
            keys.server(): Family.SERVER,
            keys.full(): Family.FULL,
        }
        self._prefixes = {
            keys.job(""): Family.RECORD,
            keys.lock(""): Family.LOCK,
            keys.lock_waiting(""): Family.WAITING,
            keys.watchers(""): Family.WATCHERS,
            keys.unique(""): Family.UNIQUE,
            keys.log(""): Family.LOG,
            keys.cron(""): Family.CRON,
            keys.cron_boots(""): Family.BOOTS,
            keys.worker(""): Family.WORKER,
            keys.control(""): Family.CONTROL,
            keys.daemon(""): Family.DAEMON,
            keys.known_tasks(""): Family.KNOWS,
            keys.stats("\0", 0).split("\0")[0]: Family.STATS,
        }
        self._singles_of_state = {keys.done(state): state for state in TERMINAL}
        self._task_head, self._task_tail = keys.task_done("\0").split("\0")
        self._queue_head = keys.queue("\0", "").split("\0")[0]

    def part(self, key: str) -> Part | None:
        """None for a key that jobrunner does not write."""
        if key in self._singles:
            return Part(self._singles[key], "")
        if key in self._singles_of_state:
            return Part(Family.DONE, self._singles_of_state[key])
        for prefix, family in self._prefixes.items():
            if key.startswith(prefix):
                return Part(family, key.removeprefix(prefix))
        if key.startswith(self._task_head) and key.endswith(self._task_tail):
            return Part(Family.TASK_DONE, key[len(self._task_head) : -len(self._task_tail)])
        if key.startswith(self._queue_head) and key.rpartition(":")[2] in set(Priority):
            return Part(Family.QUEUE, key.removeprefix(self._queue_head).rpartition(":")[0])
        return None


class StrangeKey(msgspec.Struct, frozen=True):
    """A key that is of another type than jobrunner writes there."""

    key: str
    type: str
    part: Part


class Keyspace(msgspec.Struct, frozen=True):
    """The names that were found, by family; and the keys that are of another type."""

    found: dict[Family, dict[str, str]]  # key -> name
    strange: list[StrangeKey] = []

    def names(self, family: Family) -> list[str]:
        return sorted(set(self.found.get(family, {}).values()))

    def keys(self, *families: Family) -> Iterator[str]:
        for family in families:
            yield from self.found.get(family, {})


def read_keyspace(keys: Keys) -> Operation[Keyspace]:
    """Every key that exists throughout; one that comes or goes meanwhile may be missing."""
    reader = KeyReader(keys)
    found: dict[Family, dict[str, str]] = defaultdict(dict)
    strange = []
    for type_ in _OF_TYPE:
        cursor = b"0"
        while True:
            args = ("SCAN", cursor, "MATCH", keys.all(), "COUNT", PAGE, "TYPE", type_)
            cursor, page = yield Command(args)
            # No name of ours is no text: nothing reads such a key, and it harms nobody.
            for key in [item.decode() for item in page if is_text(item)]:
                part = reader.part(key)
                if part is not None and TYPES[part.family] == type_:
                    found[part.family][key] = part.name
                elif part is not None:
                    strange.append(StrangeKey(key, type_, part))
            if cursor == b"0":
                break
    return Keyspace(found, strange)

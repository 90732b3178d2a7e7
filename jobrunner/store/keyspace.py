"""Which keys a namespace has, and of which kind. Only `doctor` asks: it looks for what no index
names, and for what something else has written."""

from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from jobrunner.model import TERMINAL, Priority
from jobrunner.store.decoding import text_of
from jobrunner.store.keys import Keys
from jobrunner.store.requests import Command, Operation, Pipeline

PAGE = 1000  # keys per step: well under a millisecond of the server's time


class Family(StrEnum):
    """Kinds of keys that an audit looks at."""

    RECORD = "record"
    QUEUE = "queue"
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    RUNNING = "running"
    CANCELLING = "cancelling"
    RESULTS = "results"
    DONE = "done"  # of a state
    TASK_DONE = "task_done"  # of a task
    LOCK = "lock"
    WAITING = "waiting"  # for a lock
    WATCHERS = "watchers"  # of a job
    UNIQUE = "unique"  # idempotency key
    LOG = "log"  # of a job


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
        }
        self._prefixes = {
            keys.job(""): Family.RECORD,
            keys.lock(""): Family.LOCK,
            keys.lock_waiting(""): Family.WAITING,
            keys.watchers(""): Family.WATCHERS,
            keys.unique(""): Family.UNIQUE,
            keys.log(""): Family.LOG,
        }
        self._singles_of_state = {keys.done(state): state for state in TERMINAL}
        self._task_head, self._task_tail = keys.task_done("\0").split("\0")
        self._queue_head = keys.queue("\0", "").split("\0")[0]

    def part(self, key: str) -> Part | None:
        """None for a key that an audit does not look at."""
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


class Keyspace(msgspec.Struct, frozen=True):
    """The names that were found, by family."""

    found: dict[Family, dict[str, str]]  # key -> name

    def names(self, family: Family) -> list[str]:
        return sorted(set(self.found.get(family, {}).values()))

    def keys(self, *families: Family) -> Iterator[str]:
        for family in families:
            yield from self.found.get(family, {})


def read_keyspace(keys: Keys) -> Operation[Keyspace]:
    """Every key that exists throughout; one that comes or goes meanwhile may be missing."""
    reader = KeyReader(keys)
    found: dict[Family, dict[str, str]] = defaultdict(dict)
    cursor = b"0"
    while True:
        cursor, page = yield Command(("SCAN", cursor, "MATCH", keys.all(), "COUNT", PAGE))
        for item in page:
            key = text_of(item)
            part = reader.part(key)
            if part is not None:
                found[part.family][key] = part.name
        if cursor == b"0":
            return Keyspace(found)


class StrangeKey(msgspec.Struct, frozen=True):
    """A key that is of another type than jobrunner writes there: what reads it fails."""

    key: str
    type: str
    expected: str


def read_strange_keys(keys: Keys) -> Operation[list[StrangeKey]]:
    """Of the keys that a namespace has once, those of another type."""
    expected = {key: type_ for type_, some in _types(keys).items() for key in some}
    replies = yield Pipeline([Command(("TYPE", key)) for key in expected])
    found = {key: text_of(reply) for key, reply in zip(expected, replies, strict=True)}
    return [
        StrangeKey(key, found[key], type_)
        for key, type_ in expected.items()
        if found[key] not in (type_, "none")
    ]


def _types(keys: Keys) -> dict[str, list[str]]:
    return {
        "zset": [
            *(keys.done(state) for state in sorted(TERMINAL)),
            *(keys.scheduled(), keys.blocked(), keys.running(), keys.parked(), keys.results()),
            *(keys.workers(), keys.daemons(), keys.knowers(), keys.locks()),
        ],
        "hash": [keys.counts(), keys.folds(), keys.manifest(), keys.last_job(), keys.server()],
        "set": [keys.queues(), keys.cancelling()],
        "list": [keys.tally()],
        "string": [keys.tokens()],
    }

"""The peers: what they are called, which cases they have, and how their one worker is set up."""

from collections.abc import Mapping
from dataclasses import dataclass

ASYNC = "async"
SYNC = "sync"
COMMANDS = "command"


@dataclass(frozen=True, slots=True)
class Peer:
    """`name` is that of its module `peers/with_<name>`; `environment` that in `pins.toml`.

    `setups`: for each case it has, what its documents advise for one worker process and very
    short jobs.
    """

    name: str
    title: str
    setups: Mapping[str, str]
    environment: str = ""  # empty: jobrunner's own
    is_on_postgres: bool = False  # not on the server that all others are on
    is_limit: bool = False  # no peer: the least that any queue must do


PEERS = (
    Peer("jobrunner", "jobrunner", {ASYNC: "64 slots", SYNC: "64 slots, killable hosts"}),
    Peer(
        "taskiq",
        "taskiq",
        {ASYNC: "Redis streams", SYNC: "Redis streams, threads"},
        "taskiq",
    ),
    Peer("arq", "arq", {ASYNC: "100 jobs at a time"}, "arq"),
    Peer("saq", "SAQ", {ASYNC: "100 jobs at a time"}, "saq"),
    Peer(
        "streaq",
        "streaQ",
        {ASYNC: "uvloop, 100 jobs at a time", SYNC: "100 threads"},
        "streaq",
    ),
    Peer(
        "pgqueuer",
        "PgQueuer",
        {ASYNC: "PostgreSQL, batches of 100"},
        "pgqueuer",
        is_on_postgres=True,
    ),
    Peer("rq", "RQ", {SYNC: "SimpleWorker"}, "rq"),
    Peer("celery", "Celery", {SYNC: "solo pool, prefetches 100"}, "celery"),
    Peer("dramatiq", "dramatiq", {SYNC: "8 threads"}, "dramatiq"),
    Peer("huey", "huey", {SYNC: "1 thread, blocking reads"}, "huey"),
    Peer("bare_sync", "bare redis-py", {SYNC: "batches of 100"}, "bare", is_limit=True),
    Peer(
        "bare_async",
        "bare redis-py",
        {ASYNC: "asyncio, uvloop, batches of 100"},
        "bare",
        is_limit=True,
    ),
)

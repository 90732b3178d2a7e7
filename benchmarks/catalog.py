"""The peers: what they are called, which cases they have, and how their one worker is set up."""

from collections.abc import Mapping
from dataclasses import dataclass

ASYNC = "async"
SYNC = "sync"
COMMANDS = "command"
MANY_COMMANDS = "commands"
# How many commands run at the same time, per processor.
AT_ONCE = {COMMANDS: 1, MANY_COMMANDS: 8}
OVERVIEW = "overview"


@dataclass(frozen=True, slots=True)
class Peer:
    """`name` is that of its module `peers/with_<name>`; `environment` that in `pins.toml`.

    `setups`: for each case it has, what its documents advise for one worker process and very
    short jobs. `jobs` are a multiple of 1,000.
    """

    name: str
    title: str
    setups: Mapping[str, str]
    jobs: int  # of a run, in bulk: as many as it performs in some three to five seconds
    environment: str = ""  # empty: jobrunner's own
    is_on_postgres: bool = False  # not on the server that all others are on
    is_limit: bool = False  # no peer: the least that any queue must do


PEERS = (
    Peer("jobrunner", "jobrunner", {ASYNC: "64 slots", SYNC: "64 slots, killable hosts"}, 50_000),
    Peer(
        "taskiq",
        "taskiq",
        {ASYNC: "Redis streams", SYNC: "Redis streams, threads"},
        3_000,
        "taskiq",
    ),
    Peer("arq", "arq", {ASYNC: "100 jobs at a time"}, 3_000, "arq"),
    Peer("saq", "SAQ", {ASYNC: "100 jobs at a time"}, 3_000, "saq"),
    Peer(
        "streaq",
        "streaQ",
        {ASYNC: "uvloop, 100 jobs at a time", SYNC: "100 threads"},
        3_000,
        "streaq",
    ),
    Peer(
        "pgqueuer",
        "PgQueuer",
        {ASYNC: "PostgreSQL, batches of 100"},
        50_000,
        "pgqueuer",
        is_on_postgres=True,
    ),
    Peer("rq", "RQ", {SYNC: "SimpleWorker"}, 2_000, "rq"),
    Peer("celery", "Celery", {SYNC: "solo pool, prefetches 100"}, 4_000, "celery"),
    Peer("dramatiq", "dramatiq", {SYNC: "8 threads"}, 10_000, "dramatiq"),
    Peer("huey", "huey", {SYNC: "1 thread, blocking reads"}, 20_000, "huey"),
    Peer("bare_sync", "bare redis-py", {SYNC: "batches of 100"}, 50_000, "bare", is_limit=True),
    Peer(
        "bare_async",
        "bare redis-py",
        {ASYNC: "asyncio, uvloop, batches of 100"},
        50_000,
        "bare",
        is_limit=True,
    ),
)

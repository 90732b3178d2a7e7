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
    is_limit: bool = False  # no peer: the least that any queue must do


PEERS = (
    Peer("jobrunner", "jobrunner", {ASYNC: "64 slots", SYNC: "64 slots, killable hosts"}),
    Peer(
        "taskiq",
        "taskiq",
        {ASYNC: "Redis streams", SYNC: "Redis streams, threads"},
        "taskiq",
    ),
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

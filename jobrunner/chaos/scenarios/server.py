"""The store's server: killed, stopped, restarted, full, forgetful, hanging up, read-only."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from jobrunner.chaos.arena import Arena, Setting
from jobrunner.chaos.faults import Faults
from jobrunner.chaos.history import NOBODY
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.scenarios.kills import BUSY, LONG_LEASE_S, kill_server
from jobrunner.chaos.scenarios.network import HARMLESS, lasting_leases
from jobrunner.chaos.site import Stuck, until
from jobrunner.chaos.tasks import Declaration
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.errors import StoreUnavailable
from jobrunner.store.checks import info_fields
from jobrunner.store.requests import Command

FULL_LEASE_S = 4.0  # a full server renews leases
FILL_S = 60.0  # until jobs have filled what little memory is left
LITTLE_ROOM = 16_000  # bytes
NOWHERE = ("127.0.0.1", 1)  # nobody listens there: what the replica has stays as it is


def restart_server(arena: Arena) -> None:
    """SHUTDOWN, as for an update, and a new start."""
    for _ in arena.moments(per_s=0.7):
        with arena.recorder.lasting("restart-server"):
            _server(arena).stop()
            _server(arena).ensure()


def stop_server(arena: Arena) -> None:
    """STOP, for a part of a lease, and CONT."""
    for _ in arena.moments(per_s=0.5):
        pid = Faults(arena).server_pid()
        with arena.recorder.lasting("stop-server"):
            os.kill(pid, signal.SIGSTOP)
            _bear(arena)
            os.kill(pid, signal.SIGCONT)


def fill_server(arena: Arena) -> None:
    """No memory for anything more, for longer than a lease."""
    for _ in arena.moments(per_s=0.5):
        with arena.recorder.lasting("full-server"):
            arena.execute("CONFIG", "SET", "maxmemory", _used_memory(arena) + LITTLE_ROOM)
            until(lambda: _refuses(arena, "OOM"), FILL_S, "the server is full")
            time.sleep(FULL_LEASE_S * 1.2)
            arena.execute("CONFIG", "SET", "maxmemory", 0)


def forget_scripts(arena: Arena) -> None:
    """SCRIPT FLUSH, also between a client's loading of a script and its call."""
    for _ in arena.moments(per_s=20):
        arena.recorder.fault("forget-scripts", NOBODY)
        arena.execute("SCRIPT", "FLUSH")


def hang_up(arena: Arena) -> None:
    """CLIENT KILL of everybody."""
    for _ in arena.moments(per_s=2):
        arena.recorder.fault("hang-up", NOBODY)
        for kind in ("normal", "pubsub"):
            arena.execute("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def refuse_writes(arena: Arena) -> None:
    """A failover that is taken back: the server is a replica, which cannot be written to."""
    for _ in arena.moments(per_s=0.5):
        with arena.recorder.lasting("replica"):
            arena.execute("REPLICAOF", *NOWHERE)
            if not _refuses(arena, "READONLY"):
                arena.notes.problems.append("a replica took a write")
            _bear(arena)
            arena.execute("REPLICAOF", "NO", "ONE")


def _bear(arena: Arena) -> None:
    """Let pass what a lease bears."""
    time.sleep(arena.rng.uniform(0.05, HARMLESS) * LONG_LEASE_S)


def _server(arena: Arena) -> EmbeddedServer:
    if arena.server is None:
        raise Stuck("this round has no server of its own")
    return arena.server


def _used_memory(arena: Arena) -> int:
    info = info_fields(arena.connection.execute(Command(("INFO", "memory"))))
    return int(info["used_memory"])


def _refuses(arena: Arena, code: str) -> bool:
    """Whether a write is refused with this code."""
    try:
        arena.execute("SETRANGE", arena.keys.lock("probe"), 0, "")  # changes nothing
    except StoreUnavailable as error:
        return code in (error.why or "")
    return False


def _scenario(
    name: str, promise: str, play: Callable[[Arena], None], seconds: float = 15
) -> Scenario:
    setting = partial(lasting_leases, LONG_LEASE_S)
    return Scenario(name, promise, play, setting, seconds, is_safe=False)


SCENARIOS = (
    Scenario(
        "kill-server-always",
        "The embedded server is killed under load with `durability: always`: nothing is lost.",
        kill_server,
        lambda: Setting(
            Declaration(durability="always"), is_embedded=True, lease_s=LONG_LEASE_S, habits=BUSY
        ),
        seconds=12,
        rounds=2,
        is_safe=False,
    ),
    _scenario(
        "restart-server",
        "The server is shut down and started again: nothing is lost, and no job runs twice.",
        restart_server,
    ),
    _scenario(
        "stop-server",
        "The server does not answer (SIGSTOP) for less than what a lease bears: no job runs twice.",
        stop_server,
    ),
    Scenario(
        "full-server",
        "The server has no memory left for longer than a lease: submits are refused and told so, "
        "jobs that run go on, and their results are kept until there is room.",
        fill_server,
        partial(lasting_leases, FULL_LEASE_S),
        seconds=20,
        is_safe=False,
    ),
    _scenario(
        "forget-scripts",
        "The server forgets its scripts again and again: nobody notices.",
        forget_scripts,
    ),
    _scenario(
        "hang-up",
        "The server hangs up on all clients again and again: nothing is lost or done twice.",
        hang_up,
    ),
    _scenario(
        "replica",
        "The server becomes a read-only replica for a while: what could not be written is "
        "written afterwards.",
        refuse_writes,
    ),
)

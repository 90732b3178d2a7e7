"""Whether a server is fit to keep jobs: what the daemon asks at its start, and `doctor` later."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from jobrunner.clock import Clock
from jobrunner.errors import StoreUnavailable
from jobrunner.store.connection import StoreConnection
from jobrunner.store.decoding import text_of
from jobrunner.store.failures import ReplyError
from jobrunner.store.requests import Command

OLDEST_REDIS = (7, 2)
LARGEST_OFFSET_S = 1.0


class Level(StrEnum):
    OK = "ok"
    UNKNOWN = "unknown"  # the server does not tell, as managed ones often do not
    WARNING = "warning"
    REFUSAL = "refusal"  # jobs would be lost, or nothing would work


class ServerFinding(msgspec.Struct, frozen=True):
    """The result of one check, named `check`."""

    check: str
    level: Level
    what: str
    why: str | None = None
    fix: str | None = None

    @property
    def is_warning(self) -> bool:
        return self.level is Level.WARNING

    @property
    def is_refusal(self) -> bool:
        return self.level is Level.REFUSAL


class ServerFacts(msgspec.Struct, frozen=True):
    """What a server told: its INFO, its snapshot rule (None: it does not say), its clock.

    `offset_s` is how far its clock is ahead of ours, beyond what the round trip explains.
    """

    info: dict[str, str]
    save: str | None
    offset_s: float


def check_server(connection: StoreConnection, clock: Clock) -> list[ServerFinding]:
    """All checks; a single refusal when the server cannot be reached. Never raises an outage."""
    try:
        facts = read_facts(connection, clock)
    except StoreUnavailable as error:
        return [ServerFinding("reachable", Level.REFUSAL, error.what, error.why, error.fix)]
    return judge(facts)


def read_facts(connection: StoreConnection, clock: Clock) -> ServerFacts:
    """Ask the server. Raises StoreUnavailable."""
    info = info_fields(connection.execute(Command(("INFO",))))
    asked_at = clock.now().timestamp()
    seconds, microseconds = connection.execute(Command(("TIME",)))
    answered_at = clock.now().timestamp()
    ahead = int(seconds) + int(microseconds) / 1e6 - (asked_at + answered_at) / 2
    explained = (answered_at - asked_at) / 2
    offset = max(0.0, abs(ahead) - explained)
    return ServerFacts(info, _save_rule(connection), offset if ahead > 0 else -offset)


def judge(facts: ServerFacts) -> list[ServerFinding]:
    """One finding per check. Pure."""
    return [
        ServerFinding("reachable", Level.OK, "the server answers"),
        _version(facts.info),
        _role(facts.info),
        _eviction(facts.info),
        _persistence(facts),
        _clock_offset(facts.offset_s),
    ]


def info_fields(reply: bytes) -> dict[str, str]:
    """What `INFO` told, by name."""
    lines = reply.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def processor_s(info: Mapping[str, str]) -> float:
    """Processor time that the server has used since its start, seconds."""
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _save_rule(connection: StoreConnection) -> str | None:
    try:
        reply = connection.execute(Command(("CONFIG", "GET", "save")))
    except (StoreUnavailable, ReplyError):
        return None  # CONFIG is forbidden, renamed or unknown there
    return text_of(reply[1]) if len(reply) > 1 else None


def _version(info: dict[str, str]) -> ServerFinding:
    if valkey := info.get("valkey_version"):
        return ServerFinding("version", Level.OK, f"Valkey {valkey}")
    version = info.get("redis_version", "")
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError:
        return ServerFinding("version", Level.UNKNOWN, "the server does not tell its version")
    if (major, minor) >= OLDEST_REDIS:
        return ServerFinding("version", Level.OK, f"Redis {version}")
    return ServerFinding(
        "version",
        Level.REFUSAL,
        f"the server is too old: Redis {version}",
        why="the scripts need the commands of Redis {}.{}".format(*OLDEST_REDIS),
        fix="use Valkey, or Redis {}.{} or newer".format(*OLDEST_REDIS),
    )


def _role(info: dict[str, str]) -> ServerFinding:
    if info.get("role") == "slave":
        return ServerFinding(
            "role",
            Level.REFUSAL,
            "the server is a replica",
            why="a replica cannot be written to",
            fix="name the primary in store.url",
        )
    if info.get("redis_mode") == "cluster":
        return ServerFinding(
            "role",
            Level.WARNING,
            "the server belongs to a cluster",
            why="jobs are kept in one slot, and commands are not redirected to its node",
            fix="name a single server in store.url",
        )
    return ServerFinding("role", Level.OK, "the server is a primary")


def _eviction(info: dict[str, str]) -> ServerFinding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return ServerFinding("eviction", Level.UNKNOWN, "the server does not tell maxmemory-policy")
    if policy == "noeviction":
        return ServerFinding("eviction", Level.OK, "maxmemory-policy is noeviction")
    is_limited = info.get("maxmemory", "0") != "0"
    return ServerFinding(
        "eviction",
        Level.REFUSAL if is_limited else Level.WARNING,
        f"maxmemory-policy is {policy}",
        why="a server that is full would delete jobs"
        if is_limited
        else "without maxmemory nothing is evicted, but setting it would delete jobs",
        fix="set maxmemory-policy to noeviction",
    )


def _persistence(facts: ServerFacts) -> ServerFinding:
    if facts.info.get("aof_last_write_status", "ok") != "ok":
        return ServerFinding(
            "persistence",
            Level.WARNING,
            "the server could not write its append-only file",
            why="it refuses writes until it can",
            fix="make room on the server's disk, and read its log",
        )
    if facts.info.get("aof_enabled") == "1":
        return ServerFinding("persistence", Level.OK, "the append-only file is on")
    if facts.save is None:
        return ServerFinding("persistence", Level.UNKNOWN, "the server does not tell how it saves")
    return ServerFinding(
        "persistence",
        Level.WARNING,
        "the server saves snapshots only" if facts.save else "the server saves nothing to disk",
        why="jobs since the last snapshot are lost when it crashes"
        if facts.save
        else "all jobs are lost when it is restarted",
        fix="set appendonly to yes",
    )


def _clock_offset(offset_s: float) -> ServerFinding:
    if abs(offset_s) <= LARGEST_OFFSET_S:
        return ServerFinding("clock", Level.OK, "the server's clock agrees with this machine's")
    direction = "ahead of" if offset_s > 0 else "behind"
    return ServerFinding(
        "clock",
        Level.WARNING,
        f"the server's clock is {abs(offset_s):.1f} s {direction} this machine's",
        why="crons, due times and locks go by the server's clock, not by this machine's",
        fix="synchronise both by NTP",
    )

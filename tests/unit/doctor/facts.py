"""Facts of a host, a server and a store where all is well; tests change what they are about."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from jobrunner.doctor.facts import (
    HostFacts,
    Platform,
    ServerReport,
    Service,
    StateFolder,
    StoreReport,
    Zones,
)
from jobrunner.state import RunningDaemon
from jobrunner.store.checks import ServerFacts
from jobrunner.store.leases import DaemonEntry, WorkerEntry
from jobrunner.store.overview import QueueView
from jobrunner.store.published import Published, PublishedTask

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GIB = 2**30
FOLDER = StateFolder(Path("/state"), 1000, 0o700, True, 100 * GIB, 50 * GIB)
DAEMON = RunningDaemon(4711, "host", Path("/jobs.yaml"), NOW)
INFO = {
    "redis_version": "7.4.1",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "used_memory": str(GIB),
    "total_system_memory": str(16 * GIB),
    "aof_current_size": str(GIB),
}
WORKER = WorkerEntry(
    "w1", "host", 4712, NOW, "boot/1", 64, ["default"], "d1", lease_ends_at=NOW + timedelta(10)
)
PUBLISHED = Published({"backup": PublishedTask("backup", "command")}, {}, digest="d")


def host(**changes: Any) -> HostFacts:
    facts = HostFacts(
        uid=1000,
        is_embedded=True,
        folder=FOLDER,
        daemon=DAEMON,
        service=Service(None, None),
        zones=Zones("/usr/share/zoneinfo", "2026a", ["UTC"], []),
        platform=Platform(1024, 64, None),
        invalid=None,
    )
    return replace(facts, **changes)


def server(info: dict[str, str] | None = None, **changes: Any) -> ServerReport:
    facts = ServerFacts(INFO | (info or {}), "", 0.0)
    report = ServerReport(facts, "everysec", "everysec", 0.2, True, 50 * GIB)
    return replace(report, **changes)


def store(**changes: Any) -> StoreReport:
    report = StoreReport(
        now=NOW,
        daemons=[DaemonEntry("d1", "host", 4711, "0.1", "/jobs.yaml", NOW, 1, "running")],
        workers=[WORKER],
        dead_workers=[],
        queues=[QueueView("default", 0, 3, 0, 1)],
        live_by_task={"backup": 4},
        running=PUBLISHED,
        on_disk=PUBLISHED,
    )
    return replace(report, **changes)

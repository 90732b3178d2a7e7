"""What an idle daemon costs: memory of each of its processes, and processor time."""

import time
from collections.abc import Iterator

import psutil

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import NOOP, Stage, seconds_of
from jobrunner.store.leases import LEASE_TTL

WARM_UP = 200  # jobs, so that the worker has loaded all that it needs
IDLE_S = 20
CASE = "idle daemon"


def measure_memory(extent: Extent) -> Iterator[Sample]:
    """Shared memory counts by share (PSS), so that the sum is what the machine has to have."""
    lease_s = LEASE_TTL.total_seconds()
    with Stage(extent.url, is_embedded=extent.url is None, lease_s=lease_s) as stage:
        stage.warm_up(NOOP, WARM_UP)
        stage.check()
        yield from _memory(stage)
        yield from _processor(stage, extent.scaled(IDLE_S))


def _memory(stage: Stage) -> Iterator[Sample]:
    supervisor = psutil.Process(stage.site.pid)
    [worker] = stage.site.workers()
    rest = [child for child in supervisor.children(recursive=True) if child.pid != worker.pid]
    parts = {
        "supervisor": _megabytes(supervisor),
        "worker": _megabytes(worker),
        "guard and others": sum(map(_megabytes, rest)),
        "server": int(stage.info("memory")["used_memory_rss"]) / 1e6,
    }
    for name, megabytes in parts.items():
        yield Sample(CASE, name, megabytes, "MB")
    yield Sample(CASE, "all", sum(parts.values()), "MB")
    yield Sample(CASE, "worker, resident", worker.memory_info().rss / 1e6, "MB")


def _megabytes(process: psutil.Process) -> float:
    told = process.memory_full_info()
    return float(getattr(told, "pss", told.uss)) / 1e6  # macOS knows no shares


def _processor(stage: Stage, seconds: int) -> Iterator[Sample]:
    """Percent of one processor; the server is asked nothing meanwhile but by the daemon."""
    begun, daemon_s, server_s = time.perf_counter(), _daemon_s(stage), stage.usage().server
    time.sleep(seconds)
    percent = 100 / (time.perf_counter() - begun)
    parts = {
        "daemon's processor": (_daemon_s(stage) - daemon_s) * percent,
        "server's processor": (stage.usage().server - server_s) * percent,
    }
    for name, value in parts.items():
        yield Sample(CASE, name, value, "%")
    yield Sample(CASE, "processor of all", sum(parts.values()), "%")


def _daemon_s(stage: Stage) -> float:
    """Processor time so far of the supervisor, its workers and its guard."""
    supervisor = psutil.Process(stage.site.pid)
    return sum(map(seconds_of, (supervisor, *supervisor.children(recursive=True))))

"""How many jobs a second one worker process performs from a full queue, and what each costs."""

import os
from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import COMMAND, HOSTED, NOOP, Performance, Stage

COMMANDS = 10  # of them, one for so many no-op jobs: a process costs a millisecond
WARM_UP = 200  # jobs before, so that modules are imported, scripts loaded and hosts started


def measure_throughput(extent: Extent) -> Iterator[Sample]:
    """No-op functions, asynchronous and synchronous, and the command `true`."""
    processors = os.cpu_count() or 1
    yield from _measure("no-op async", NOOP, extent.jobs, extent.url, slots=64)
    yield from _measure("no-op sync", HOSTED, extent.jobs, extent.url, slots=64)
    commands = max(extent.jobs // COMMANDS, 2)
    yield from _measure("command true", COMMAND, commands, extent.url, slots=processors)


def _measure(case: str, task: str, jobs: int, url: str | None, slots: int) -> Iterator[Sample]:
    with Stage(url, slots=slots) as stage:
        stage.warm_up(task, min(WARM_UP, jobs))
        performance = stage.perform(task, jobs)
    yield Sample(case, "rate", performance.rate, "jobs/s")
    yield from _costs(case, performance, jobs)


def _costs(case: str, performance: Performance, jobs: int) -> Iterator[Sample]:
    per_job = 1_000_000 / jobs  # microseconds
    yield Sample(case, "worker's processor", performance.usage.worker * per_job, "µs/job")
    yield Sample(case, "server's processor", performance.usage.server * per_job, "µs/job")

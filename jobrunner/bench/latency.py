"""How long it takes from a submit to the result in the client's hands."""

import time
from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample, spread
from jobrunner.bench.load import Load
from jobrunner.bench.stage import NOOP, Stage

JOBS = 1_000
WARM_UP = 50
WAIT_S = 60.0  # for one result; only a hang takes longer
# Of fewer jobs the rate may be far too high: they end within milliseconds, and a load of half of
# that would be more than the worker can do.
RATED = 5_000
LOADED = 0.5  # of the rate that worker and client can reach together


def measure_latency(extent: Extent) -> Iterator[Sample]:
    """One job at a time: with nothing else to do, and at half load."""
    count = extent.scaled(JOBS)
    with Stage(extent.url) as stage:
        _latencies(stage, WARM_UP)
        yield from spread("idle", _latencies(stage, count))
        rate = stage.perform(NOOP, max(extent.jobs, RATED)).rate_with_submits * LOADED
        with Load(stage.client.address, NOOP, rate) as load:
            yield from spread("half load", _latencies(stage, count))
        stage.note(load.job_ids)
        stage.wait_for_ends()
        stage.check()


def _latencies(stage: Stage, count: int) -> list[float]:
    """Seconds of each job."""
    ids, found = [], []
    for _ in range(count):
        begun = time.perf_counter()
        job = stage.client.submit(NOOP)
        job.wait(WAIT_S)
        found.append(time.perf_counter() - begun)
        ids.append(job.id)
    stage.note(ids)
    return found

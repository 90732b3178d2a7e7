"""Whether a long queue costs throughput, and what a job takes in the store."""

import statistics
from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample, rate_between
from jobrunner.bench.stage import NOOP, Stage
from jobrunner.chaos.site import until

DEPTHS = (1_000, 10_000, 100_000, 1_000_000)
QUICK_DEPTHS = (500, 2_000)
WARM_UP = 200
REWRITE_S = 300.0  # for the append-only file of a million jobs, on a slow disk
# Jobs whose rate is taken at once, and how often; the median counts, for one says little.
WINDOW = 10_000
WINDOWS = 10


def measure_depth(extent: Extent) -> Iterator[Sample]:
    """The rate while so many jobs are queued, and bytes per job, queued and finished."""
    for depth in QUICK_DEPTHS if extent.is_quick else DEPTHS:
        yield from _measure(depth, extent)


def _measure(depth: int, extent: Extent) -> Iterator[Sample]:
    """Windows are taken at the front of the queue, which is filled again where it is too short."""
    case = f"{depth:,} queued"
    with Stage(extent.url) as stage:
        stage.warm_up(NOOP, WARM_UP)
        empty = _used_bytes(stage)
        _fill(stage, depth)
        yield Sample(case, "store, queued", (_used_bytes(stage) - empty) / depth, "B/job")
        stage.resume()
        stage.wait_for_ends()
        yield Sample(case, "store, finished", (_used_bytes(stage) - empty) / depth, "B/job")
        window, windows = min(depth, WINDOW), extent.scaled(WINDOWS)
        for _ in range(windows - depth // window):
            _fill(stage, depth)
            stage.resume()
            stage.wait_for_ends()
        stage.check()
        ends_ms = stage.ends_ms()[WARM_UP:]
        starts = range(0, window * windows, window)
        rates = [rate_between(ends_ms[start : start + window]) for start in starts]
        yield Sample(case, "rate", statistics.median(rates), "jobs/s")


def _fill(stage: Stage, depth: int) -> None:
    stage.halt()
    stage.submit(NOOP, depth)
    # It is set off by the fast submit, and would be measured instead of the depth.
    until(lambda: not _is_rewriting(stage), REWRITE_S, "the append-only file is rewritten")


def _is_rewriting(stage: Stage) -> bool:
    return stage.info("persistence")["aof_rewrite_in_progress"] != "0"


def _used_bytes(stage: Stage) -> int:
    return int(stage.info("memory")["used_memory"])

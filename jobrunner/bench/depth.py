"""Whether a long queue costs throughput, and what a job takes in the store."""

from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample, rate_between
from jobrunner.bench.stage import NOOP, Stage
from jobrunner.chaos.site import until

DEPTHS = (1_000, 10_000, 100_000, 1_000_000)
QUICK_DEPTHS = (500, 2_000)
WARM_UP = 200
REWRITE_S = 300.0  # for the append-only file of a million jobs, on a slow disk
WINDOW = 20_000  # jobs at the front of the queue, whose rate counts


def measure_depth(extent: Extent) -> Iterator[Sample]:
    """The rate while so many jobs are queued, and bytes per job, queued and finished."""
    for depth in QUICK_DEPTHS if extent.is_quick else DEPTHS:
        yield from _measure(depth, extent.url)


def _measure(depth: int, url: str | None) -> Iterator[Sample]:
    case = f"{depth:,} queued"
    with Stage(url) as stage:
        stage.warm_up(NOOP, WARM_UP)
        empty = _used_bytes(stage)
        stage.halt()
        stage.submit(NOOP, depth)
        yield Sample(case, "store, queued", (_used_bytes(stage) - empty) / depth, "B/job")
        # It is set off by the fast submit, and would be measured instead of the depth.
        until(lambda: not _is_rewriting(stage), REWRITE_S, "the append-only file is rewritten")
        stage.resume()
        stage.wait_for_ends()
        yield Sample(case, "store, finished", (_used_bytes(stage) - empty) / depth, "B/job")
        stage.check()
        front = stage.ends_ms()[WARM_UP : WARM_UP + WINDOW]
        yield Sample(case, "rate", rate_between(front), "jobs/s")


def _is_rewriting(stage: Stage) -> bool:
    return stage.info("persistence")["aof_rewrite_in_progress"] != "0"


def _used_bytes(stage: Stage) -> int:
    return int(stage.info("memory")["used_memory"])

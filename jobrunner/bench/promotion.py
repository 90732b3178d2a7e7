"""Whether a million jobs that are due at once hold up the store, or anybody else's work."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample, percentile
from jobrunner.bench.stage import NOOP, PATIENCE_S, Stage
from jobrunner.chaos.site import until
from jobrunner.model import Priority

DUE = 50  # jobs, for each one that a run of other parts has: a million, usually
DELAY_S = 1.0  # of the jobs; the daemon is not there when it ends
PAUSE_S = 0.05  # between the jobs of other work
WARM_UP = 200
LOGGED_US = 1000  # commands of the store that take longer are in its slow log
SLOW_US = 10_000
ENTRIES = 100_000  # of the slow log; more than there are calls


@dataclass(slots=True)
class OtherWork:
    """Jobs that are submitted one by one meanwhile, ahead of all that waits; seconds of each."""

    submits: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)  # in the client's hands
    job_ids: list[str] = field(default_factory=list)


def measure_promotion(extent: Extent) -> Iterator[Sample]:
    """The daemon is started when all the jobs are due, as after a long stop.

    The slow log is looked at on the run's own server only: to do so is to change its settings.
    """
    count = extent.jobs * DUE
    case = f"{count:,} due"
    with Stage(extent.url) as stage:
        stage.warm_up(NOOP, WARM_UP)
        stage.site.stop()
        stage.submit(NOOP, count, delay=DELAY_S)
        time.sleep(DELAY_S)
        is_own = extent.url is None
        if is_own:
            _begin_slow_log(stage)
        yield from _promote(stage, case, count)
        if is_own:
            yield from _slow_commands(stage, case)
        stage.check()


def _promote(stage: Stage, case: str, count: int) -> Iterator[Sample]:
    """From the start of the daemon to the end of the last job."""
    begun = time.perf_counter()
    stage.site.spawn()
    stage.wait_for_workers()  # or the first of the other jobs would wait for a worker's start
    other = _work_meanwhile(stage)
    taken = time.perf_counter() - begun
    stage.note(other.job_ids)
    stage.wait_for_ends()
    yield Sample(case, "promoted", count / taken, "jobs/s")
    yield Sample(case, "other submits, p99", percentile(other.submits, 0.99) * 1000, "ms")
    yield Sample(case, "other jobs, p99", percentile(other.results, 0.99) * 1000, "ms")


def _begin_slow_log(stage: Stage) -> None:
    stage.execute("CONFIG", "SET", "slowlog-log-slower-than", LOGGED_US)
    stage.execute("CONFIG", "SET", "slowlog-max-len", ENTRIES)
    stage.execute("SLOWLOG", "RESET")


def _slow_commands(stage: Stage, case: str) -> Iterator[Sample]:
    """Since the log was begun. Their number tells a slow script from one that had to wait.

    A script and the command in it that took long are two entries. Without any entry the longest
    one took at most what is logged.
    """
    entries: list[Any] = list(stage.execute("SLOWLOG", "GET", -1))
    taken_us = [entry[2] for entry in entries]
    slow = sum(1 for each in taken_us if each > SLOW_US)
    yield Sample(case, "longest store command", max(taken_us, default=LOGGED_US) / 1000, "ms")
    yield Sample(case, "store commands above 10 ms", slow, "commands")


def _work_meanwhile(stage: Stage) -> OtherWork:
    """Until nothing is due any more."""
    other = OtherWork()

    def is_over() -> bool:
        _one_more(stage, other)
        time.sleep(PAUSE_S)
        return stage.size(stage.keys.scheduled()) == 0

    until(is_over, PATIENCE_S, "all that is due was promoted")
    return other


def _one_more(stage: Stage, other: OtherWork) -> None:
    begun = time.perf_counter()
    job = stage.client.submit(NOOP, priority=Priority.HIGH)
    other.submits.append(time.perf_counter() - begun)
    job.wait(PATIENCE_S)
    other.results.append(time.perf_counter() - begun)
    other.job_ids.append(job.id)

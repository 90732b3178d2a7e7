"""What a store that is further away costs in throughput."""

import os
from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import NOOP, Stage

WARM_UP = 200
NEAR = "as near as it is"
# By so much is a round trip, through a forwarder; the first one shows what that alone costs.
ROUND_TRIPS_MS = {"0 ms longer": 0.0, "1 ms longer": 1.0, "2 ms longer": 2.0}
# As many worker processes as a daemon has unless told otherwise.
OF_MANY = "a process per processor"


def measure_network(extent: Extent) -> Iterator[Sample]:
    """The rate of no-op jobs; round trips of the daemon take so much longer, not the client's."""
    yield Sample(NEAR, "rate", _rate(extent, None), "jobs/s")
    for case, longer_ms in ROUND_TRIPS_MS.items():
        yield Sample(case, "rate", _rate(extent, longer_ms), "jobs/s")
    for case, longer_ms in ROUND_TRIPS_MS.items():
        rate = _rate(extent, longer_ms, os.cpu_count() or 1)
        yield Sample(f"{case}, {OF_MANY}", "rate", rate, "jobs/s")


def _rate(extent: Extent, longer_ms: float | None, processes: int = 1) -> float:
    further_s = None if longer_ms is None else longer_ms / 2 / 1000
    with Stage(None, processes=processes, further_s=further_s) as stage:
        stage.warm_up(NOOP, min(WARM_UP, extent.jobs))
        return stage.perform(NOOP, extent.jobs).rate

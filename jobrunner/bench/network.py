"""What a store that is further away costs in throughput."""

from collections.abc import Iterator

from jobrunner.bench.extent import Extent
from jobrunner.bench.figures import Sample
from jobrunner.bench.stage import NOOP, Stage

WARM_UP = 200
NEAR = "as near as it is"
# By so much is a round trip, through a forwarder; the first one shows what that alone costs.
ROUND_TRIPS_MS = {"0 ms longer": 0.0, "1 ms longer": 1.0, "2 ms longer": 2.0}


def measure_network(extent: Extent) -> Iterator[Sample]:
    """The rate of no-op jobs; round trips of the daemon take so much longer, not the client's."""
    yield Sample(NEAR, "rate", _rate(extent, None), "jobs/s")
    for case, longer_ms in ROUND_TRIPS_MS.items():
        yield Sample(case, "rate", _rate(extent, longer_ms / 2 / 1000), "jobs/s")


def _rate(extent: Extent, delay_s: float | None) -> float:
    with Stage(None, further_s=delay_s) as stage:
        stage.warm_up(NOOP, min(WARM_UP, extent.jobs))
        return stage.perform(NOOP, extent.jobs).rate

"""Every scenario, in the order of the report."""

from jobrunner.chaos.scenarios import (
    cancels,
    clocks,
    fires,
    jobs,
    kills,
    lifecycle,
    machine,
    network,
    points,
    recovery,
    reloads,
    rolling,
    server,
    stops,
)

SCENARIOS = (
    *kills.SCENARIOS,
    *points.SCENARIOS,
    *network.SCENARIOS,
    *server.SCENARIOS,
    *machine.SCENARIOS,
    *stops.SCENARIOS,
    *clocks.SCENARIOS,
    *fires.SCENARIOS,
    *lifecycle.SCENARIOS,
    *reloads.SCENARIOS,
    *rolling.SCENARIOS,
    *jobs.SCENARIOS,
    *cancels.SCENARIOS,
    *recovery.SCENARIOS,
)

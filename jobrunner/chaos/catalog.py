"""Every scenario, in the order of the report."""

from jobrunner.chaos.scenarios import fires, kills, recovery, stops

SCENARIOS = (
    *kills.SCENARIOS,
    *stops.SCENARIOS,
    *fires.SCENARIOS,
    *recovery.SCENARIOS,
)

"""Every scenario, in the order of the report."""

from jobrunner.chaos.scenarios import kills

SCENARIOS = (*kills.SCENARIOS,)

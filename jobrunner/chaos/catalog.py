"""Every scenario, in the order of the report."""

from jobrunner.chaos.scenario import Scenario
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

# By the test that plays a short round of each: `tests/chaos/test_<family>.py`.
FAMILIES: dict[str, tuple[Scenario, ...]] = {
    "kills": kills.SCENARIOS,
    "points": points.SCENARIOS,
    "network": network.SCENARIOS,
    "server": (*server.SCENARIOS, *machine.SCENARIOS),
    "stops": stops.SCENARIOS,
    "clocks": clocks.SCENARIOS,
    "fires": fires.SCENARIOS,
    "lifecycle": (*lifecycle.SCENARIOS, *reloads.SCENARIOS, *rolling.SCENARIOS),
    "jobs": (*jobs.SCENARIOS, *cancels.SCENARIOS),
    "recovery": recovery.SCENARIOS,
}
SCENARIOS = tuple(scenario for family in FAMILIES.values() for scenario in family)


def find_scenario(name: str) -> Scenario:
    """Raises KeyError when there is none."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]

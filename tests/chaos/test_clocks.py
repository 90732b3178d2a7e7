"""Short rounds in which clocks are set, and the machine sleeps."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import clocks
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 3.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play(clocks.SCENARIOS, SECONDS)


@pytest.mark.parametrize("name", [scenario.name for scenario in clocks.SCENARIOS])
def test_nothing_runs_twice_for_a_clock(outcomes: Mapping[str, Outcome], name: str) -> None:
    outcome = outcomes[name]

    assert violations(outcome) == []
    assert sum(outcome.faults.values()) > 0
    assert outcome.states["completed"] > 0

"""Short rounds in which everything that a daemon consists of is killed under load."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import kills
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 3.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play(kills.SCENARIOS, SECONDS)


@pytest.mark.parametrize("name", ["kill-anything", "kill-one-of-two-daemons"])
def test_nothing_is_lost_when_processes_are_killed(
    outcomes: Mapping[str, Outcome], name: str
) -> None:
    outcome = outcomes[name]

    assert violations(outcome) == []
    assert outcome.kills > 1
    assert outcome.states["completed"] > 0


def test_nothing_is_lost_when_the_embedded_server_is_killed(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["kill-server"]

    assert violations(outcome) == []
    assert outcome.faults["kill-server"] > 0
    assert outcome.states["completed"] > 0

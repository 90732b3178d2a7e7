"""Short rounds of kills at named points, and of lost replies."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import points
from jobrunner.chaos.suite import Outcome
from jobrunner.chaos.wiretap import When
from tests.chaos.rounds import play, violations

SECONDS = 2.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play(points.SCENARIOS, SECONDS)


def test_a_kill_before_or_after_a_store_call_loses_and_repeats_nothing(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["kill-at-points"]

    assert violations(outcome) == []
    assert outcome.counts["points aimed at"] == 2 * points.FEWEST
    for role in points.Role:
        sides = [f"kill-{role}-{when}-" for when in When]
        assert any(name.startswith(tuple(sides)) for name in outcome.faults)


def test_a_lost_reply_repeats_nothing(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["lose-replies"]

    assert violations(outcome) == []
    assert outcome.faults[points.LOST] > 0
    assert outcome.states["completed"] > 0

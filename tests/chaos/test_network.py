"""Short rounds behind a network that is away, half-open, resetting or slow."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import network
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 3.0  # the long outages last longer than a lease, however short the round is


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play(network.SCENARIOS, SECONDS)


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        ("short-outages", "short-"),
        ("resets", "reset"),
        ("slow-network", "slow"),
    ],
)
def test_what_a_lease_bears_costs_no_job_its_attempt(
    outcomes: Mapping[str, Outcome], scenario: str, fault: str
) -> None:
    outcome = outcomes[scenario]

    assert violations(outcome) == []
    assert any(name.startswith(fault) for name in outcome.faults)
    assert outcome.states["completed"] > 0


@pytest.mark.parametrize("scenario", ["store-away", "half-open", "cut-off-one-of-two"])
def test_what_outlasts_a_lease_ends_jobs_before_they_run_again(
    outcomes: Mapping[str, Outcome], scenario: str
) -> None:
    outcome = outcomes[scenario]

    assert violations(outcome) == []
    assert any(name.startswith("long-") for name in outcome.faults)
    assert outcome.repeats > 0

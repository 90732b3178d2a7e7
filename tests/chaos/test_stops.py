"""Short rounds of workers that are stopped, or held up by their own jobs."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import stops
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 2.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play(stops.SCENARIOS, SECONDS)


def test_a_worker_that_is_stopped_for_long_loses_its_jobs_once(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["stop-beyond-the-lease"]

    assert violations(outcome) == []
    assert outcome.faults["stop"] > 0


def test_nothing_runs_twice_for_a_worker_that_is_stopped_shortly(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["stop-for-a-moment"]

    assert violations(outcome) == []
    assert outcome.faults["stop-shortly"] > 0
    assert outcome.reasons.get("lost", 0) == 0


def test_nothing_runs_twice_for_a_job_that_holds_its_worker_up(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["hold-the-worker"]

    assert violations(outcome) == []
    assert outcome.faults["block"] + outcome.faults["hold"] > 0
    assert outcome.states["completed"] > 0

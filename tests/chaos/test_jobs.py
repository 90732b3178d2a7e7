"""Short rounds of jobs that crash, are cancelled, or came before any worker."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import cancels, jobs
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 2.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play([*jobs.SCENARIOS, *cancels.SCENARIOS], SECONDS)


def test_a_job_that_crashes_its_host_is_lost_and_harms_no_other(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["crash-hosts"]

    assert violations(outcome) == []
    assert outcome.reasons["lost"] > 0
    assert outcome.faults["hoard"] > 0


def test_a_job_that_kills_its_worker_is_lost_and_its_neighbours_complete(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["poison"]

    assert violations(outcome) == []
    assert outcome.reasons["lost"] > 0
    assert outcome.faults["poison"] > 0


def test_a_cancel_is_final_at_every_moment_of_a_job(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["cancel-at-every-moment"]

    assert violations(outcome) == []
    assert outcome.states["cancelled"] > 0
    assert outcome.states["completed"] > 0


def test_jobs_that_came_before_any_worker_run(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["before-any-worker"]

    assert violations(outcome) == []
    assert outcome.states["completed"] > 0

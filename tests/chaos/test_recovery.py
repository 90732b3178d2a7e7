"""Short rounds that measure how soon a killed worker's jobs start again."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from jobrunner.chaos.arena import Setting
from jobrunner.chaos.catalog import find_scenario
from jobrunner.chaos.scenario import Scenario
from jobrunner.chaos.scenarios.recovery import ELSEWHERE, ON_THIS_HOST
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 2.0
LEASE_S = 2.0  # instead of the usual one, for which another host has to wait


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    here = find_scenario("recover-on-the-host")
    elsewhere = find_scenario("recover-on-another-host")
    return dict(play([here, replace(elsewhere, setting=_short_leases(elsewhere))], SECONDS))


def _short_leases(scenario: Scenario) -> Callable[[], Setting]:
    setting = replace(scenario.setting(), lease_s=LEASE_S)
    return lambda: setting


def test_a_killed_workers_jobs_start_again_at_once_on_the_same_host(
    outcomes: dict[str, Outcome],
) -> None:
    outcome = outcomes["recover-on-the-host"]

    assert violations(outcome) == []
    assert outcome.faults["kill-workers"] > 0
    assert len(outcome.figures[ON_THIS_HOST]) == outcome.faults["kill-workers"]


def test_a_killed_daemons_jobs_start_again_on_another_host(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["recover-on-another-host"]

    assert violations(outcome) == []
    assert outcome.faults["kill-supervisor"] == 1
    assert min(outcome.figures[ELSEWHERE]) > LEASE_S / 2

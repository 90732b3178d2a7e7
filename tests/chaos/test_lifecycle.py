"""Short rounds of daemons that are stopped, started and reloaded under load."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import lifecycle, reloads, rolling
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 2.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play([*lifecycle.SCENARIOS, *reloads.SCENARIOS, *rolling.SCENARIOS], SECONDS)


def test_a_drain_lets_jobs_end_and_repeats_none(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["drain"]

    assert violations(outcome) == []
    assert outcome.faults["drain"] > 0
    assert outcome.states["completed"] > 0


def test_what_a_drain_cuts_short_runs_again_uncounted(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["drain-cut-short"]

    assert violations(outcome) == []
    assert outcome.faults["drain-deadline"] + outcome.faults["second-signal"] > 0
    assert outcome.repeats > 0


def test_a_daemon_that_starts_can_be_stopped_and_survives_a_reload(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["signals-while-starting"]

    assert violations(outcome) == []
    assert outcome.faults["stop-while-starting"] + outcome.faults["reload-while-starting"] > 0


def test_a_reload_under_load_is_whole_or_refused(outcomes: Mapping[str, Outcome]) -> None:
    outcome = outcomes["reload"]

    assert violations(outcome) == []
    assert outcome.faults["reload"] > 0
    assert outcome.reasons["unknown_task"] > 0


def test_jobs_of_a_task_that_one_daemon_lacks_wait_for_the_other(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["rolling-change"]

    assert violations(outcome) == []
    assert outcome.faults["rolling-change"] > 0

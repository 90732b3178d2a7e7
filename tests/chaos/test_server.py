"""Short rounds with a server that is killed, restarted, full, forgetful or demoted."""

from collections.abc import Mapping

import pytest

from jobrunner.chaos.scenarios import machine, server
from jobrunner.chaos.suite import Outcome
from tests.chaos.rounds import play, violations

SECONDS = 2.0


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return play([*server.SCENARIOS, *machine.SCENARIOS], SECONDS)


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        ("kill-server-always", "kill-server"),
        ("restart-server", "restart-server"),
        ("stop-server", "stop-server"),
        ("full-server", "full-server"),
        ("forget-scripts", "forget-scripts"),
        ("hang-up", "hang-up"),
        ("replica", "replica"),
    ],
)
def test_a_fault_of_the_server_loses_and_repeats_nothing(
    outcomes: Mapping[str, Outcome], scenario: str, fault: str
) -> None:
    outcome = outcomes[scenario]

    assert violations(outcome) == []
    assert outcome.faults[fault] > 0
    assert outcome.states["completed"] > 0


def test_a_crash_of_the_machine_loses_the_last_second_at_most(
    outcomes: Mapping[str, Outcome],
) -> None:
    outcome = outcomes["machine-crash-everysec"]

    assert violations(outcome) == []
    assert outcome.faults[machine.CRASH] > 0
    assert machine.LOST in outcome.counts

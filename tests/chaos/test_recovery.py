"""A short round that measures how soon a killed worker's jobs start again."""

from jobrunner.chaos.scenarios import recovery
from tests.chaos.rounds import play, violations

SECONDS = 2.0


def test_a_killed_workers_jobs_start_again_at_once_on_the_same_host() -> None:
    [here] = [each for each in recovery.SCENARIOS if each.name == "recover-on-the-host"]

    [outcome] = play([here], SECONDS).values()

    assert violations(outcome) == []
    assert outcome.faults["kill-workers"] > 0
    assert len(outcome.figures[recovery.ON_THIS_HOST]) == outcome.faults["kill-workers"]

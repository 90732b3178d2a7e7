"""Short rounds in which schedulers of crons that fire each second are killed."""

from jobrunner.chaos.scenarios import fires
from tests.chaos.rounds import play, violations

SECONDS = 2.5


def test_a_fire_time_makes_one_job_whichever_scheduler_is_killed() -> None:
    outcomes = play(fires.SCENARIOS, SECONDS)

    for outcome in outcomes.values():
        assert violations(outcome) == []
        assert outcome.faults["kill-supervisor"] > 0
        assert outcome.jobs > SECONDS

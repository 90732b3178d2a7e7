"""Rules I3 to I7, on what jobs share: locks, fire times, limits, the store."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from jobrunner.chaos.evidence import FireSpan
from jobrunner.model import Job, JobState, Reason
from tests.chaos.trial import (
    KILL,
    NOON,
    ONCE,
    SECOND,
    Trial,
    a_job,
    failed,
)

# I3: no two valid holders of a lock slot at any instant, and tokens that grow.


def holders(*lines: str) -> list[str]:
    return [f"{line.split()[0]} {line.split()[1]} 1 {line.split()[2]} 100 10" for line in lines]


def test_a_lock_has_one_holder(trial: Trial) -> None:
    jobs = (a_job("a", "one"), a_job("b", "one"))

    assert trial.broken(holders("start a 1", "end a 1", "start b 2", "end b 2"), *jobs) == []
    assert trial.broken(holders("start a 1", "start b 2", "end a 1", "end b 2"), *jobs) == ["I3"]


def test_a_token_of_a_lock_grows_with_each_holder(trial: Trial) -> None:
    jobs = (a_job("a", "one"), a_job("b", "one"))

    assert trial.broken(holders("start a 2", "end a 2", "start b 2", "end b 2"), *jobs) == ["I3"]


def test_a_lock_with_slots_has_as_many_holders(trial: Trial) -> None:
    jobs = [a_job(name, "two") for name in "abc"]
    two = holders("start a 1", "start b 1", "end a 1", "start c 2", "end b 1", "end c 2")
    three = holders("start a 1", "start b 1", "start c 2", "end a 1", "end b 1", "end c 2")

    assert trial.broken(two, *jobs) == []
    assert trial.broken(three, *jobs) == ["I3"]


# I4: one job per cron and fire time.


def fired(at: datetime, job_id: str, **fields: Any) -> Job:
    return a_job(job_id, cron="each", fire_time=at, **fields)


SKIPPED = {"state": JobState.SKIPPED, "reason": Reason.MISFIRE, "attempt": 0}


def broken_fires(trial: Trial, *jobs: Job) -> list[str]:
    """Of three fire times, each a second after the other."""
    lines = [f"end {job.id} 1 1 100 10" for job in jobs if job.state is JobState.COMPLETED]
    span = FireSpan("each", [NOON, NOON + SECOND, NOON + 2 * SECOND])
    return trial.broken(lines, *jobs, acknowledged={}, fires=[span])


def test_each_fire_time_has_one_job(trial: Trial) -> None:
    first, second, third = (fired(NOON + number * SECOND, "abc"[number]) for number in range(3))
    twin = fired(NOON, "d")
    of_another = replace(third, cron="other")

    assert broken_fires(trial, first, second, third) == []
    assert broken_fires(trial, first, third) == ["I4"]
    assert broken_fires(trial, first, second, third, twin) == ["I4"]
    assert broken_fires(trial, first, second, of_another) == ["I4"]


def test_a_row_of_misfires_stands_for_its_fire_times(trial: Trial) -> None:
    detail = "2 fire times from 2026-11-21T12:00:00Z to 2026-11-21T12:00:01Z"
    row = fired(NOON + SECOND, "a", detail=detail, **SKIPPED)
    inside, after = fired(NOON + SECOND, "b"), fired(NOON + 2 * SECOND, "c")

    assert broken_fires(trial, row, after) == []
    assert broken_fires(trial, row, inside, after) == ["I4"]


def test_a_misfire_without_a_row_stands_for_itself(trial: Trial) -> None:
    jobs = [fired(NOON + number * SECOND, "abc"[number], **SKIPPED) for number in range(3)]

    assert broken_fires(trial, *jobs) == []


# I5, I7: the store.


def test_nothing_is_orphaned(trial: Trial) -> None:
    assert trial.broken(ONCE, a_job(), orphans=["ghost jr:{chaos}:queue:default:high 1-0"]) == [
        "I5"
    ]


def test_nothing_runs_when_nothing_runs(trial: Trial) -> None:
    assert trial.broken(ONCE, a_job(), running=["a"]) == ["I7"]


def test_nothing_is_counted_when_nothing_is_left(trial: Trial) -> None:
    assert trial.broken(ONCE, a_job(), live={"queued:work": 1}) == ["I7"]
    assert trial.broken(ONCE, a_job(), live={"queued:work": 0}) == []


# I6: slots of workers, attempts of the retry policy and `max_lost` are never exceeded.


def test_a_worker_performs_no_more_than_it_has_slots(trial: Trial) -> None:
    jobs = (a_job("a"), a_job("b"))
    lines = holders("start a 1", "start b 1", "end a 1", "end b 1")
    elsewhere = [line[:-2] + "11" if " b " in line else line for line in lines]

    assert trial.broken(lines, *jobs, worker_slots=2) == []
    assert trial.broken(lines, *jobs, worker_slots=1) == ["I6"]
    assert trial.broken(elsewhere, *jobs, worker_slots=1) == []


def errors(number: int, *between: str) -> list[str]:
    """So many attempts that fail, with lines after each."""
    return [
        line
        for n in range(1, number + 1)
        for line in (f"start a {n} {n} {100 + n} 10", f"error a {n} {n} {100 + n} 10", *between)
    ]


def test_a_job_fails_no_more_often_than_its_retry_policy_says(trial: Trial) -> None:
    assert trial.broken(errors(2), failed(Reason.ERROR, task="flaky")) == []
    assert trial.broken(errors(3), failed(Reason.ERROR, task="flaky")) == ["I6"]


def test_a_failure_whose_worker_died_is_a_loss(trial: Trial) -> None:
    assert (
        trial.broken([*errors(1, KILL), *errors(3)[2:]], failed(Reason.ERROR, task="flaky")) == []
    )


def test_a_users_retry_allows_the_attempts_anew(trial: Trial) -> None:
    lines = [*errors(2), "asked retry a", *errors(4)[4:]]

    assert trial.broken(lines, failed(Reason.ERROR, task="flaky")) == []
    assert trial.broken([*lines, *errors(5)[8:]], failed(Reason.ERROR, task="flaky")) == ["I6"]


def lost(number: int) -> list[str]:
    """So many attempts that are lost, and one that is not."""
    pairs = [(f"start a {n} {n} {100 + n} 10", KILL) for n in range(1, number + 1)]
    last = number + 1
    end = (f"start a {last} {last} 99 10", f"end a {last} {last} 99 10")
    return [line for pair in (*pairs, end) for line in pair]


def test_a_job_is_lost_no_more_often_than_max_lost_says(trial: Trial) -> None:
    assert trial.broken(lost(2), a_job(attempt=3)) == []
    assert trial.broken(lost(3), a_job(attempt=4)) == ["I6"]


def test_an_attempt_that_is_given_back_is_not_counted(trial: Trial) -> None:
    drained = [
        line
        for n in range(1, 6)
        for line in (f"start a 1 {n} {100 + n} 10", "fault second-signal 10")
    ]

    assert trial.broken([*drained, "start a 1 6 99 10", "end a 1 6 99 10"], a_job()) == []

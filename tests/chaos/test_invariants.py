"""Rules I1 and I2, on ends and effects: each kept by one history, and broken by others."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from jobrunner.chaos.invariants import RULES, check
from jobrunner.model import Job, JobState, Reason
from tests.chaos.trial import (
    AGAIN,
    CUT,
    ERROR,
    KILL,
    ONCE,
    Trial,
    a_job,
    failed,
)


def test_what_is_done_once_keeps_all_rules(trial: Trial) -> None:
    assert check(trial.evidence(ONCE, a_job())) == []


def test_a_violation_tells_rule_and_job(trial: Trial) -> None:
    [violation] = check(trial.evidence([], acknowledged={"a": "work"}))

    assert str(violation).startswith("I1 a: a submit of 'work' was acknowledged")


# I1: every acknowledged submit ends in exactly one terminal state, for a reason.


def test_an_acknowledged_job_has_a_record(trial: Trial) -> None:
    assert trial.broken([]) == ["I1"]


def test_a_job_may_be_gone_when_a_client_asked_for_it(trial: Trial) -> None:
    assert trial.broken([*ONCE, "asked delete a"]) == []


def test_a_job_may_be_gone_when_a_crash_of_the_server_lost_it(trial: Trial) -> None:
    assert trial.broken(ONCE, may_be_gone=frozenset({"a"})) == []


@pytest.mark.parametrize(
    "state", [state for state in JobState if not a_job(state=state).is_terminal]
)
def test_a_job_ends(trial: Trial, state: JobState) -> None:
    assert trial.broken([], a_job(state=state)) == ["I1"]


def test_a_job_that_is_parked_has_not_ended(trial: Trial) -> None:
    parked = a_job(state=JobState.SCHEDULED, reason=Reason.UNKNOWN_TASK)

    assert trial.broken([], parked) == ["I1"]


def test_a_job_that_nobody_acknowledged_ends_as_well(trial: Trial) -> None:
    waiting = a_job("b", state=JobState.QUEUED)

    assert trial.broken(ONCE, a_job(), waiting) == ["I1"]


def test_a_completed_job_has_come_to_its_end(trial: Trial) -> None:
    assert trial.broken([], a_job()) == ["I1"]
    assert trial.broken(CUT, a_job()) == ["I1"]


def test_a_job_is_completed_by_the_attempt_that_ended_last(trial: Trial) -> None:
    lines = [*ONCE, KILL, *AGAIN]

    assert trial.broken(lines, a_job(attempt=2)) == []
    assert trial.broken(lines, a_job(attempt=1)) == ["I1"]


def test_a_job_fails_by_its_own_error(trial: Trial) -> None:
    assert trial.broken(ERROR, failed(Reason.ERROR)) == []
    assert trial.broken(ONCE, failed(Reason.ERROR)) == ["I1"]
    assert trial.broken([], failed(Reason.ERROR)) == ["I1"]


@pytest.mark.parametrize("fault", ["fault kill-command 100", "begin kill-group 100"])
def test_a_job_fails_when_its_process_is_killed(trial: Trial, fault: str) -> None:
    assert trial.broken([*CUT, fault], failed(Reason.ERROR)) == []
    assert trial.broken([CUT[0], fault, CUT[1]], failed(Reason.ERROR)) == []


@pytest.mark.parametrize("fault", ["fault kill-command 999", "fault kill-server -"])
def test_a_job_does_not_fail_by_what_was_done_to_others(trial: Trial, fault: str) -> None:
    assert trial.broken([*CUT, fault], failed(Reason.ERROR)) == ["I1"]


def test_a_job_does_not_fail_by_what_was_over_before(trial: Trial) -> None:
    over = ["begin kill-command 100", "over kill-command -"]

    assert trial.broken([*over, *CUT], failed(Reason.ERROR)) == ["I1"]


def test_what_a_fault_names_may_write_a_line_before_it_dies(trial: Trial) -> None:
    assert trial.broken(["fault poison 100", *CUT], failed(Reason.ERROR)) == []


def test_a_job_is_lost_after_as_many_losses_as_it_may_have(trial: Trial) -> None:
    lines = [
        line
        for number in (1, 2, 3)
        for line in (f"start a {number} {number} 10{number} 10", f"fault kill 10{number}")
    ]

    assert trial.broken(lines, failed(Reason.LOST, attempt=3)) == []
    assert trial.broken(lines[:4], failed(Reason.LOST, attempt=2)) == ["I1"]


def test_a_job_is_cancelled_when_a_client_asked_for_it(trial: Trial) -> None:
    cancelled = a_job(state=JobState.CANCELLED)

    assert trial.broken([*CUT, "asked cancel a"], cancelled) == []
    assert trial.broken(CUT, cancelled) == ["I1"]
    assert trial.broken([*CUT, "asked cancel b", "asked retry a"], cancelled) == ["I1"]


@pytest.mark.parametrize(
    ("job", "without"),
    [
        (a_job(state=JobState.CANCELLED, reason=Reason.REPLACED, cron="each"), {"cron": None}),
        (a_job(state=JobState.SKIPPED, reason=Reason.OVERLAP, cron="each"), {"cron": None}),
        (a_job(state=JobState.SKIPPED, reason=Reason.MISFIRE, cron="each"), {"cron": None}),
        (a_job(state=JobState.SKIPPED, reason=Reason.LOCKED, task="one"), {"task": "work"}),
        (failed(Reason.UPSTREAM, after="b"), {"after": None}),
    ],
    ids=lambda value: str(value.reason) if isinstance(value, Job) else "",
)
def test_a_job_is_not_run_only_for_a_reason_that_it_can_have(
    trial: Trial, job: Job, without: Mapping[str, Any]
) -> None:
    assert trial.broken([], job) == []
    assert trial.broken([], replace(job, **without)) == ["I1"]


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.INVALID_ARGUMENTS])
def test_a_job_does_not_fail_for_what_no_client_does(trial: Trial, reason: Reason) -> None:
    assert trial.broken(CUT, failed(reason)) == ["I1"]


def test_a_job_is_not_skipped_without_a_reason(trial: Trial) -> None:
    assert trial.broken(["asked cancel a"], a_job(state=JobState.SKIPPED)) == ["I1"]


# I2: more effects than one only where a fault justifies them, and never two overlapping.


def test_effects_have_a_record(trial: Trial) -> None:
    assert trial.broken(["start b 1 1 100 10"], acknowledged={}) == ["I2"]
    assert trial.broken(["start b 1 1 100 10", "asked delete b"], acknowledged={}) == []


def test_a_job_does_not_run_twice_for_no_reason(trial: Trial) -> None:
    assert trial.broken([*ONCE, *AGAIN], a_job(attempt=2)) == ["I2"]
    assert trial.broken([*CUT, *AGAIN], a_job(attempt=2)) == ["I2"]


@pytest.mark.parametrize("fault", ["fault kill 10", "fault kill 9,100", "fault crash *"])
@pytest.mark.parametrize("earlier", [ONCE, CUT, ERROR])
def test_a_job_runs_again_for_a_fault_of_its_processes(
    trial: Trial, earlier: list[str], fault: str
) -> None:
    assert trial.broken([*earlier, fault, *AGAIN], a_job(attempt=2)) == []


@pytest.mark.parametrize("fault", ["fault kill-server -", "fault kill 11", "fault kill 101"])
def test_a_job_does_not_run_again_for_a_fault_of_others(trial: Trial, fault: str) -> None:
    assert trial.broken([*CUT, fault, *AGAIN], a_job(attempt=2)) == ["I2"]


@pytest.mark.parametrize(
    ("before", "between", "after", "broken"),
    [
        (["begin stop 10"], ["over stop -"], [], []),
        (["begin stop 10"], [], ["over stop -"], []),
        ([], ["begin stop 10"], ["over stop -"], []),
        ([], ["begin stop 10"], [], []),
        (["begin stop 10", "over stop -"], [], [], ["I2"]),
        ([], [], ["begin stop 10", "over stop -"], ["I2"]),
    ],
)
def test_a_lasting_fault_excuses_what_it_overlaps(
    trial: Trial, before: list[str], between: list[str], after: list[str], broken: list[str]
) -> None:
    lines = [*before, *CUT, *between, *AGAIN, *after]

    assert trial.broken(lines, a_job(attempt=2)) == broken


def test_a_job_runs_again_when_a_client_asked_for_it(trial: Trial) -> None:
    assert trial.broken([*ONCE, "asked retry a", *AGAIN], a_job(attempt=2)) == []
    assert trial.broken(["asked retry a", *ONCE, *AGAIN], a_job(attempt=2)) == ["I2"]
    assert trial.broken([*ONCE, "asked retry b", *AGAIN], a_job(attempt=2)) == ["I2"]


def test_a_job_that_failed_runs_again_when_its_task_says_so(trial: Trial) -> None:
    assert trial.broken([*ERROR, *AGAIN], a_job(task="flaky", attempt=2)) == []
    assert "I2" in trial.broken([*ERROR, *AGAIN], a_job(attempt=2))
    assert trial.broken([*ONCE, *AGAIN], a_job(task="flaky", attempt=2)) == ["I2"]


def test_an_attempt_begins_when_the_one_before_is_dead(trial: Trial) -> None:
    late = "beat a 1 1 100 10"

    assert trial.broken([*CUT, KILL, AGAIN[0], late, AGAIN[1]], a_job(attempt=2)) == ["I2"]


def test_a_later_attempt_has_a_greater_fence(trial: Trial) -> None:
    same = ["start a 2 1 101 11", "end a 2 1 101 11"]

    assert trial.broken([*CUT, KILL, *same], a_job(attempt=2)) == ["I2"]


def test_there_are_seven_rules() -> None:
    assert list(RULES) == [f"I{number}" for number in range(1, 8)]

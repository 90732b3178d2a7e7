"""Rules I1 to I7: each with a history that keeps it, and with others that break it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobrunner.chaos.evidence import Evidence, FireSpan, Terms
from jobrunner.chaos.history import read_history
from jobrunner.chaos.invariants import RULES, check
from jobrunner.model import Job, JobState, Priority, Reason

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TERMS = {
    "work": Terms(max_lost=3),
    "flaky": Terms(attempts=2, max_lost=3),
    "one": Terms(lock="one"),
    "two": Terms(lock="two", slots=2),
}


def a_job(job_id: str = "a", task: str = "work", **fields: Any) -> Job:
    """One that its first attempt has completed."""
    usual: dict[str, Any] = {
        "state": JobState.COMPLETED,
        "queue": "default",
        "priority": Priority.NORMAL,
        "created_at": NOON,
        "attempt": 1,
    }
    return Job(job_id, task, **{**usual, **fields})


def failed(reason: Reason, job_id: str = "a", task: str = "work", **fields: Any) -> Job:
    return a_job(job_id, task, state=JobState.FAILED, reason=reason, **fields)


@dataclass
class Trial:
    """Judges histories; lines are those of the file."""

    path: Path
    acknowledged: Mapping[str, str] = field(default_factory=lambda: {"a": "work"})

    def evidence(self, lines: Sequence[str], *jobs: Job, **others: Any) -> Evidence:
        self.path.write_text("".join(line + "\n" for line in lines))
        usual: dict[str, Any] = {"acknowledged": self.acknowledged, "worker_slots": 8}
        return Evidence(
            read_history(self.path),
            jobs={job.id: job for job in jobs},
            terms=TERMS,
            **{**usual, **others},
        )

    def broken(self, lines: Sequence[str], *jobs: Job, **others: Any) -> list[str]:
        """The rules that are broken, each as often as it is."""
        return [violation.rule for violation in check(self.evidence(lines, *jobs, **others))]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "history")


ONCE = ["start a 1 1 100 10", "beat a 1 1 100 10", "end a 1 1 100 10"]
CUT = ONCE[:2]
AGAIN = ["start a 2 2 101 11", "end a 2 2 101 11"]
ERROR = ["start a 1 1 100 10", "error a 1 1 100 10"]
KILL = "fault kill-worker 10"


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
    assert trial.broken(["fault kill-command 100", *CUT], failed(Reason.ERROR)) == ["I1"]


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


def test_there_are_seven_rules() -> None:
    assert list(RULES) == [f"I{number}" for number in range(1, 8)]

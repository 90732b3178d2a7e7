"""What a worker does with a job of each task: arguments, lock, attempt and end, as values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobrunner.clock import to_ms
from jobrunner.errors import InvalidArguments
from jobrunner.manifest.effective import adhoc_task
from jobrunner.manifest.spec import CronSpec, Lock, Manifest, Retry, Task
from jobrunner.message import Message
from jobrunner.model import JobError, JobState, Reason
from jobrunner.runner.attempt import Ended, Outcome
from jobrunner.store.attempts import Entry, Finish, HeldLock
from jobrunner.worker.plans import TaskPlan, build_plans
from tests.clock import START, FakeClock

SECOND = timedelta(seconds=1)
FAILED = Outcome(Ended.FAILED, SECOND, error=JobError("exit", "it broke", 7), exit_code=7)


def a_plan(task: Task, crons: dict[str, CronSpec] | None = None) -> TaskPlan:
    manifest = Manifest(name="shop", path="/srv/jobs.yaml", tasks={"demo": task}, crons=crons or {})
    return build_plans(manifest, FakeClock())["demo"]


def a_task(**changes: Any) -> Task:
    return Task(**{"command": ["true"], **changes})


def an_entry(**changes: Any) -> Entry:
    values: dict[str, Any] = {"attempts": 0, "lost": 0, "fence": 1, "base": 0}
    return Entry("1-0", "web", "high", "job1", b"", **values | changes)


def finish_of(task: Task, outcome: Outcome, **entry: Any) -> Finish:
    plan = a_plan(task)
    return plan.finish_of(an_entry(**entry), plan.prepare(Message("demo")), outcome)


# Arguments.


def test_defaults_are_filled_in_again_since_the_manifest_may_have_changed() -> None:
    plan = a_plan(a_task(params={"region": {"default": "eu"}}))

    assert plan.prepare(Message("demo")).arguments == {"region": "eu"}


@pytest.mark.parametrize("arguments", [{}, {"region": 1}, {"region": "eu", "more": 1}])
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    plan = a_plan(a_task(params={"region": {"required": True}}))

    with pytest.raises(InvalidArguments):
        plan.prepare(Message("demo", arguments))


def test_positional_arguments_of_a_message_are_checked_by_name() -> None:
    plan = a_plan(a_task(params={"size": {"choices": ["small", "large"]}, "n": {"default": "1"}}))

    prepared = plan.prepare(Message("demo", args=["small"]))

    assert prepared.arguments == {"size": "small", "n": "1"}
    with pytest.raises(InvalidArguments, match="must be one of small, large"):
        plan.prepare(Message("demo", args=["$(reboot)"]))
    with pytest.raises(InvalidArguments, match="positional"):
        plan.prepare(Message("demo", args=["small", "1", "2"]))


def test_a_message_from_anyone_passes_no_option_to_a_program() -> None:
    task = a_task(command=["rm", "{file}"], params={"file": {}})

    with pytest.raises(InvalidArguments, match="must not begin with '-'"):
        a_plan(task).prepare(Message("demo", {"file": "-rf"}))


def test_today_is_the_day_of_the_fire_time_however_late_the_job_runs() -> None:
    plan = a_plan(a_task(params={"day": {"type": "date", "default": "today"}}))
    fire_time = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)

    late = plan.prepare(Message("demo", cron="nightly", fire_time=to_ms(fire_time)))
    submitted = plan.prepare(Message("demo"))

    assert late.arguments == {"day": "2026-11-21"}
    assert submitted.arguments == {"day": str(START.date())}


def test_the_secret_arguments_of_a_cron_are_filled_in_for_its_jobs_only() -> None:
    task = a_task(params={"token": {"secret": True, "default": "own"}, "day": {"default": "x"}})
    plan = a_plan(task, {"c": CronSpec(task="demo", every="1h", params={"token": "sesame"})})

    def token(body: Message) -> object:
        return plan.prepare(body).arguments["token"]

    assert token(Message("demo", cron="c")) == "sesame"
    assert token(Message("demo", {"token": "given"}, cron="c")) == "given"
    assert token(Message("demo")) == "own"
    assert token(Message("demo", cron="gone")) == "own"


def test_a_task_without_parameters_costs_no_check() -> None:
    body = Message("demo")

    assert a_plan(a_task()).prepare(body).arguments is body.kwargs


# Locks.


def test_a_task_without_a_lock_takes_none() -> None:
    assert a_plan(a_task()).prepare(Message("demo")).lock is None


def test_a_lock_is_named_by_the_jobs_arguments() -> None:
    lock = Lock(name="report-{region}", ttl="90s", slots=3, conflict="wait")
    plan = a_plan(a_task(params={"region": {}}, lock=lock))

    job = plan.prepare(Message("demo", {"region": "eu"}))

    assert job.lock == HeldLock("report-eu", slots=3, ttl_ms=90_000, conflict="wait")


def test_a_cron_may_have_a_lock_or_a_ttl_of_its_own() -> None:
    crons = {
        "often": CronSpec(task="demo", every="5m", lock_ttl="2m"),
        "rarely": CronSpec(task="demo", every="1d"),
    }
    plain = a_plan(a_task(), crons)
    locked = a_plan(a_task(lock=Lock(name="report", ttl="10m")), crons)

    def lock(plan: TaskPlan, cron: str | None) -> HeldLock | None:
        return plan.prepare(Message("demo", cron=cron)).lock

    assert lock(plain, "often") == HeldLock("demo", 1, 120_000, "skip")
    assert lock(plain, "rarely") is None
    assert lock(plain, None) is None
    assert lock(locked, "often") == HeldLock("report", 1, 120_000, "skip")
    assert lock(locked, "rarely") == HeldLock("report", 1, 600_000, "skip")
    assert lock(locked, "gone") == HeldLock("report", 1, 600_000, "skip")


# Attempts.


def test_an_attempt_knows_where_its_job_came_from() -> None:
    plan = a_plan(a_task(env={"A": "1"}))
    fire_time = datetime(2026, 11, 21, 1, tzinfo=UTC)
    job = plan.prepare(Message("demo", cron="nightly", fire_time=to_ms(fire_time)))

    attempt = plan.attempt(an_entry(attempts=2, fence=5), job, fence="42", worker="w1")

    assert (attempt.job_id, attempt.number, attempt.queue) == ("job1", 3, "web")
    assert (attempt.fence, attempt.entry_fence) == ("42", 5)
    assert (attempt.cron, attempt.fire_time) == ("nightly", fire_time)
    assert (attempt.namespace, str(attempt.folder)) == ("shop", "/srv")


def test_an_adhoc_job_brings_its_command() -> None:
    plan = a_plan(adhoc_task(Manifest()))
    job = plan.prepare(Message("demo", {"command": ["ls", "{x}"]}))

    attempt = plan.attempt(an_entry(), job, "1", "w1")

    assert (attempt.argv, attempt.arguments) == (["ls", "{x}"], {})


@pytest.mark.parametrize("command", ["ls", [], ["ls", 1], None, {"a": 1}])
def test_an_adhoc_job_without_a_list_of_words_is_refused(command: object) -> None:
    plan = a_plan(adhoc_task(Manifest()))

    with pytest.raises(InvalidArguments, match="command"):
        plan.prepare(Message("demo", {"command": command}))


# Ends.


def test_a_completed_attempt_ends_its_job_with_the_result() -> None:
    end = finish_of(a_task(result_ttl="1h"), Outcome(Ended.COMPLETED, SECOND, result=b"42"))

    assert (end.state, end.reason, end.result) == (JobState.COMPLETED, None, b"42")
    assert (end.duration_ms, end.result_life_ms, end.retry_delay_ms) == (1000, 3_600_000, None)


def test_a_failure_without_a_reason_is_an_error() -> None:
    end = finish_of(a_task(), FAILED)

    assert (end.state, end.reason) == (JobState.FAILED, Reason.ERROR)
    assert b"it broke" in end.error


def test_a_timeout_keeps_its_reason_and_is_retried() -> None:
    retry = Retry(attempts=2, delay="3s", jitter=False)
    outcome = Outcome(Ended.FAILED, SECOND, reason=Reason.TIMEOUT)

    end = finish_of(a_task(retry=retry), outcome)

    assert (end.reason, end.retry_delay_ms) == (Reason.TIMEOUT, 3000)


@pytest.mark.parametrize(
    ("entry", "delay_ms"),
    [
        ({}, 2000),
        ({"attempts": 1}, 4000),
        ({"attempts": 2}, None),
        ({"attempts": 5, "base": 4}, 4000),  # a user's retry: four attempts do not count
    ],
)
def test_the_retry_policy_counts_attempts_since_the_users_last_retry(
    entry: dict[str, int], delay_ms: int | None
) -> None:
    retry = Retry(attempts=3, delay="2s", jitter=False)

    assert finish_of(a_task(retry=retry), FAILED, **entry).retry_delay_ms == delay_ms


def test_only_listed_exit_codes_are_retried() -> None:
    retry = Retry(attempts=3, exit_codes=[22])

    assert finish_of(a_task(retry=retry), FAILED).retry_delay_ms is None


@pytest.mark.parametrize("ended", [Ended.COMPLETED, Ended.CANCELLED])
def test_what_did_not_fail_is_not_retried(ended: Ended) -> None:
    end = finish_of(a_task(retry=Retry(attempts=3)), Outcome(ended, SECOND))

    assert end.retry_delay_ms is None
    assert end.state == ended.value


def test_a_job_that_was_lost_too_often_is_not_retried() -> None:
    outcome = Outcome(Ended.FAILED, SECOND, reason=Reason.LOST)

    end = finish_of(a_task(retry=Retry(attempts=9)), outcome)

    assert (end.reason, end.retry_delay_ms) == (Reason.LOST, None)


@pytest.mark.parametrize(
    ("conflict", "state"), [("skip", JobState.SKIPPED), ("fail", JobState.FAILED)]
)
def test_a_job_whose_lock_is_held_ends_without_an_attempt(conflict: str, state: JobState) -> None:
    plan = a_plan(a_task(lock=Lock(name="report", conflict=conflict)))
    job = plan.prepare(Message("demo", cron="nightly"))

    end = plan.locked(an_entry(), job, holder="other")

    assert (end.state, end.reason, end.detail) == (state, Reason.LOCKED, "other")
    assert (end.counts_attempt, end.cron) == (False, "nightly")
    assert end.lock == job.lock, "it leaves the line for it"


def test_a_job_that_was_cancelled_before_its_attempt_leaves_the_line_for_its_lock() -> None:
    plan = a_plan(a_task(lock=Lock(name="report", conflict="wait")))
    job = plan.prepare(Message("demo"))

    end = plan.cancelled(an_entry(), job)

    assert (end.state, end.counts_attempt, end.lock) == (JobState.CANCELLED, False, job.lock)

"""`submit.lua`: new jobs, and repeated submits that change nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from jobrunner import message
from jobrunner.clock import to_ms
from jobrunner.errors import MASK, JobNotFound, UsageError
from jobrunner.message import Message
from jobrunner.model import JobState, Priority
from jobrunner.store.submission import BATCH, Submission, submit
from tests.store.factories import MESSAGE, Store, minutes


def test_a_submitted_job_is_queued_with_its_record_and_one_entry(store: Store) -> None:
    body = message.encode(Message("demo", {"n": 1}, secrets=[]))
    job_id = store.submit(id="k3f9", queue="web", priority=Priority.HIGH, message=body)

    job = store.job(job_id)
    assert (job.id, job.task, job.state) == ("k3f9", "demo", JobState.QUEUED)
    assert (job.queue, job.priority, job.attempt) == ("web", Priority.HIGH, 0)
    assert job.arguments == {"n": 1}
    assert store.entry_of(job_id) == {"id": "k3f9", "m": body.decode()}


def test_arguments_are_masked_where_nobody_said_which_are_secret(store: Store) -> None:
    job = store.job(store.submit(message=MESSAGE))

    assert job.arguments == {"n": MASK}
    assert job.unmarked == {"n": 1}  # for who knows the task


def test_more_jobs_than_fit_into_one_call_are_all_queued_in_order(store: Store) -> None:
    submissions = [store.submission(id=f"job{number:04}") for number in range(BATCH * 2 + 1)]

    submitted = store.run(submit(store.keys, submissions))

    assert [one.id for one in submitted] == [one.id for one in submissions]
    assert {(one.state, one.is_new) for one in submitted} == {(JobState.QUEUED, True)}
    assert [fields["id"] for fields in store.entries().values()] == [s.id for s in submissions]


def test_jobs_of_one_call_may_differ_in_task_queue_and_priority(store: Store) -> None:
    kinds = [("demo", "web"), ("demo", "web"), ("demo", "default"), ("other", "web")] * 2
    submissions = [store.submission(task=task, queue=queue) for task, queue in kinds]
    urgent = store.submission(task="other", queue="web", priority=Priority.HIGH)

    submitted = store.run(submit(store.keys, [*submissions, urgent]))

    jobs = [store.job(one.id) for one in submitted]
    assert [(job.task, job.queue) for job in jobs] == [*kinds, ("other", "web")]
    assert jobs[-1].priority is Priority.HIGH
    in_web = [s.id for s, (_, queue) in zip(submissions, kinds, strict=True) if queue == "web"]
    stream = store.keys.queue("web", Priority.NORMAL)
    queued = [fields["id"] for (key, _), fields in store.entries().items() if key == stream]
    assert queued == in_web
    assert store.texts("HMGET", store.keys.counts(), "queued:demo", "queued:other") == ["6", "3"]


def test_a_repeated_submit_makes_no_second_job(store: Store) -> None:
    submission = store.submission(key="k", delay=minutes(1))
    store.run(submit(store.keys, [submission]))
    before = store.snapshot()

    (again,) = store.run(submit(store.keys, [submission]))

    assert (again.id, again.state, again.is_new) == (submission.id, JobState.SCHEDULED, False)
    assert store.snapshot() == before


def test_a_repeated_submit_of_a_job_that_ended_does_not_queue_it_again(store: Store) -> None:
    store.add_worker()
    job_id = store.finished(id="once")

    (again,) = store.run(submit(store.keys, [store.submission(id="once")]))

    assert (again.state, again.is_new) == (JobState.COMPLETED, False)
    assert store.state(job_id) is JobState.COMPLETED
    assert store.entries() == {}


def test_a_known_key_gives_the_earlier_job_and_makes_none(store: Store) -> None:
    first = store.submit(key="import-7")
    before = store.snapshot()

    (second,) = store.run(submit(store.keys, [store.submission(key="import-7")]))

    assert (second.id, second.state, second.is_new) == (first, None, False)
    assert store.snapshot() == before
    assert store.job(first).key == "import-7"


def test_a_key_holds_within_one_batch(store: Store) -> None:
    submissions = [store.submission(key="k"), store.submission(key="k")]

    first, second = store.run(submit(store.keys, submissions))

    assert (first.is_new, second.is_new) == (True, False)
    assert second.id == first.id
    assert len(store.entries()) == 1


def test_a_delayed_job_is_due_by_the_stores_clock(store: Store) -> None:
    before = store.now_ms()

    job_id = store.submit(delay=minutes(5))

    job = store.job(job_id)
    assert job.state is JobState.SCHEDULED
    assert job.due_at is not None
    assert before <= to_ms(job.due_at) - 300_000 <= store.now_ms()
    assert store.entries() == {}


def test_a_due_time_in_the_future_is_kept_to_the_millisecond(store: Store) -> None:
    # A round number of milliseconds: it must not be written as 1e+12 anywhere.
    due_at = datetime.fromtimestamp(4_000_000_000, UTC)

    job_id = store.submit(due_at=due_at)

    assert store.job(job_id).due_at == due_at
    assert store.record(job_id)["due_at"] == "4000000000000"
    assert store.command("ZSCORE", store.keys.scheduled(), job_id) == b"4000000000000"


@pytest.mark.parametrize("changes", [{"due_at": datetime(2020, 1, 1, tzinfo=UTC)}])
def test_a_due_time_in_the_past_means_now(store: Store, changes: dict[str, datetime]) -> None:
    job_id = store.submit(**changes)

    assert store.state(job_id) is JobState.QUEUED
    assert store.job(job_id).due_at == changes["due_at"]


@pytest.mark.parametrize("delay", [timedelta(0), timedelta(seconds=-3)])
def test_a_delay_of_nothing_means_now(store: Store, delay: timedelta) -> None:
    assert store.state(store.submit(delay=delay)) is JobState.QUEUED


def test_a_job_after_a_live_one_is_blocked(store: Store) -> None:
    upstream = store.submit()

    job_id = store.submit(after=upstream)

    assert store.state(job_id) is JobState.BLOCKED
    assert store.job(job_id).after == upstream
    assert store.due_jobs() == []


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.SKIPPED])
def test_a_job_after_an_ended_one_is_woken_at_once(store: Store, state: JobState) -> None:
    store.add_worker()
    upstream = store.finished(state)

    job_id = store.submit(after=upstream)

    assert store.state(job_id) is JobState.BLOCKED
    assert store.due_jobs() == [job_id]


def test_a_job_after_an_unknown_one_is_refused_and_nothing_is_made(store: Store) -> None:
    store.submit()
    before = store.snapshot()

    with pytest.raises(JobNotFound):
        store.submit(after="nobody")

    assert store.snapshot() == before


def test_the_other_jobs_of_a_refused_ones_batch_are_made(store: Store) -> None:
    batch = [
        store.submission(id="one", key="k"),
        store.submission(after="nobody", key="x"),
        store.submission(id="two"),
    ]

    with pytest.raises(JobNotFound):
        store.run(submit(store.keys, batch))

    assert store.records().keys() == {"one", "two"}


def test_a_job_has_only_one_of_delay_due_time_and_upstream() -> None:
    with pytest.raises(UsageError):
        Submission("id", "demo", MESSAGE, delay=minutes(1), after="other")


def test_the_schedulers_are_told_when_the_earliest_due_time_moves_up(store: Store) -> None:
    with store.messages(store.keys.wake_channel()) as messages:
        ids = [store.submit(delay=minutes(number)) for number in (10, 20, 5)]

    dues = [store.record(job_id)["due_at"] for job_id in ids]
    assert messages == [dues[0], dues[2]]


def test_a_job_that_is_queued_at_once_wakes_no_scheduler(store: Store) -> None:
    with store.messages(store.keys.wake_channel()) as messages:
        store.submit()

    assert messages == []


def test_the_last_job_of_a_task_and_of_all_is_noted(store: Store) -> None:
    backup = store.submit(task="backup")
    report = store.submit(task="report")

    last = store.command("HGETALL", store.keys.last_job())
    assert dict(zip(last[::2], last[1::2], strict=True)) == {
        b"backup": backup.encode(),
        b"report": report.encode(),
        b"*": report.encode(),
    }

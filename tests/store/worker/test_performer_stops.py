"""What comes between a job and its end: locks, failures and stops."""

import pytest

from jobrunner import message
from jobrunner.message import Message
from jobrunner.model import JobState, Reason
from jobrunner.runner.attempt import StopReason
from jobrunner.store.attempts import requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.submission import retry_job
from tests.store.factories import Store
from tests.store.waiting import until
from tests.store.worker.performing import Performing

pytestmark = pytest.mark.anyio


# Locks.


async def test_a_lock_is_held_while_its_job_runs_and_free_afterwards(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging("skip")
    assert store.texts("ZRANGE", store.keys.lock("report"), 0, -1) == [job_id]

    worker.stop(job_id, StopReason.CANCEL)
    await worker.ended()

    assert store.command("EXISTS", store.keys.lock("report")) == 0


async def test_conflict_skip_records_who_has_the_lock(worker: Performing) -> None:
    holder = await worker.hanging("skip")

    job = await worker.perform_beside("skip")

    assert (job.state, job.reason, job.detail) == (JobState.SKIPPED, Reason.LOCKED, holder)
    assert job.attempt == 0


async def test_conflict_fail_fails_the_job(worker: Performing) -> None:
    holder = await worker.hanging("skip")

    job = await worker.perform_beside("fail_locked")

    assert (job.state, job.reason, job.detail) == (JobState.FAILED, Reason.LOCKED, holder)


async def test_conflict_wait_blocks_the_job_until_the_lock_is_free(
    store: Store, worker: Performing
) -> None:
    holder = await worker.hanging("skip")
    blocked = await worker.perform_beside("wait")
    assert blocked.state is JobState.BLOCKED

    worker.stop(holder, StopReason.CANCEL)
    await worker.ended()
    worker.begin_next()
    await worker.ended()

    job = store.job(blocked.id)
    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)


async def test_a_lock_is_named_by_its_parameters(store: Store, worker: Performing) -> None:
    eu = await worker.hanging("named", {"region": "eu"})
    us = await worker.hanging("named", {"region": "us"})

    skipped = await worker.perform_beside("named", {"region": "eu"})

    assert (skipped.state, skipped.detail) == (JobState.SKIPPED, eu)
    assert store.texts("ZRANGE", store.keys.lock("report-us"), 0, -1) == [us]


async def test_a_lock_of_a_cron_is_for_its_own_jobs_only(store: Store, worker: Performing) -> None:
    of_cron = await worker.perform("add", {"a": 1}, cron="nightly")
    of_user = await worker.perform("add", {"a": 1})

    assert (of_cron.lock, of_user.lock) == ("add", None)


async def test_a_job_whose_lock_was_lost_is_stopped_and_given_back_as_lost(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging("skip")

    worker.stop(job_id, StopReason.LEASE_LOST)
    await worker.ended()

    job = store.job(job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)
    assert store.entry_of(job_id)["l"] == "1"


# Retries.


async def test_a_failed_attempt_is_followed_by_others_as_its_policy_says(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("fail")
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 1)
    assert job.due_at is not None
    assert 59 < job.due_at.timestamp() - store.now_ms() / 1000 <= 60

    store.make_due(job.id)
    store.promote(job.id)
    worker.begin_next()
    await worker.ended()

    job = store.job(job.id)
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.ERROR, 2)


async def test_an_exit_code_that_is_not_listed_ends_the_job(worker: Performing) -> None:
    job = await worker.perform("shell")

    assert (job.state, job.attempt) == (JobState.FAILED, 1)


async def test_a_lost_attempt_does_not_count_for_the_retry_policy(
    store: Store, worker: Performing
) -> None:
    entry = store.claimed(task="fail", message=message.encode(Message("fail")))
    store.run(requeue(store.keys, [entry], is_lost=True))

    worker.begin_next()
    await worker.ended()

    job = store.job(entry.job_id)
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 2)


async def test_a_users_retry_begins_the_policy_anew(store: Store, worker: Performing) -> None:
    job = await worker.perform("fail")
    store.make_due(job.id)
    store.promote(job.id)
    worker.begin_next()
    await worker.ended()

    store.run(retry_job(store.keys, job.id))
    worker.begin_next()
    await worker.ended()

    job = store.job(job.id)
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 3)


async def test_a_function_host_that_dies_costs_its_job_a_lost_attempt(
    store: Store, worker: Performing
) -> None:
    job = await worker.perform("crash")
    assert (job.state, job.attempt) == (JobState.QUEUED, 1)

    worker.begin_next()
    await worker.ended()

    job = store.job(job.id)
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.LOST, 2)


# Stops.


async def test_a_cancelled_job_is_stopped_and_ends_as_cancelled(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()
    store.run(cancel(store.keys, job_id))

    worker.stop(job_id, StopReason.CANCEL)
    await worker.ended()

    assert store.state(job_id) is JobState.CANCELLED
    assert store.command("EXISTS", store.keys.cancelling()) == 0


@pytest.mark.parametrize("task", ["eager", "skip", "hang"])
async def test_a_job_that_was_cancelled_after_its_claim_ends_as_cancelled(
    store: Store, worker: Performing, task: str
) -> None:
    arguments = {"a": 1} if task == "eager" else {}
    body = message.encode(Message(task, arguments))
    entry = store.claimed(task=task, message=body)
    store.run(cancel(store.keys, entry.job_id))

    worker.begin_entry(entry)
    await worker.ended()

    assert store.state(entry.job_id) is JobState.CANCELLED


async def test_a_drain_that_is_over_gives_the_job_back_uncounted(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()

    worker.performer.stop_all(StopReason.SHUTDOWN)
    await worker.ended()

    job = store.job(job_id)
    assert (job.state, job.attempt, job.worker) == (JobState.QUEUED, 0, None)


async def test_a_job_that_is_cancelled_during_the_drain_is_not_given_back(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()
    store.run(cancel(store.keys, job_id))

    worker.performer.stop_all(StopReason.SHUTDOWN)
    await worker.ended()

    assert store.state(job_id) is JobState.CANCELLED


async def test_stopping_a_job_that_another_worker_has_changes_nothing(
    store: Store, worker: Performing
) -> None:
    job_id = await worker.hanging()

    worker.stop("another", StopReason.CANCEL)

    assert store.state(job_id) is JobState.RUNNING
    assert worker.performer.busy == 1


async def test_a_job_that_comes_again_while_its_last_attempt_winds_up_is_known_and_can_be_stopped(
    store: Store, worker: Performing
) -> None:
    # The server hands out a lost job again before the reply to its giving back was read.
    job_id = await worker.hanging("skip")
    worker.stop(job_id, StopReason.LEASE_LOST)
    await until(lambda: store.state(job_id) is JobState.QUEUED)

    worker.begin_next()

    await until(lambda: store.state(job_id) is JobState.RUNNING)
    assert worker.performer.busy == 1
    worker.stop(job_id, StopReason.CANCEL)
    await worker.ended()
    assert store.state(job_id) is JobState.CANCELLED

"""`retry.lua`: a user's retry of a job that has ended."""

from typing import Any

import pytest

from jobrunner.errors import IllegalTransition, JobNotFound
from jobrunner.model import TERMINAL, JobState, Reason
from jobrunner.store.submission import retry_job
from tests.store.factories import MESSAGE, Store, minutes

LEFT = b'[{"pid":7,"name":"sleep"}]'


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_job_that_has_ended_is_queued_again(store: Store, state: JobState) -> None:
    store.add_worker()
    job_id = store.finished(state)

    was = store.run(retry_job(store.keys, job_id))

    job = store.job(job_id)
    assert (was.state, job.state) == (state, JobState.QUEUED)
    assert (job.reason, job.finished_at, job.duration) == (None, None, None)


def test_the_retry_policy_starts_anew_and_attempts_go_on(store: Store) -> None:
    store.add_worker()
    job_id = store.retrying()
    store.make_due(job_id)
    store.promote(job_id)
    (second,) = store.claim()
    store.finish(second, JobState.FAILED, reason=Reason.ERROR, result=b"1", result_life_ms=1000)

    store.run(retry_job(store.keys, job_id))

    (entry,) = store.claim()
    assert (entry.attempt, entry.base, entry.lost) == (3, 2, 0)
    assert entry.fence > second.fence
    assert entry.message == MESSAGE
    assert store.command("ZCARD", store.keys.results()) == 0


def test_a_first_attempt_that_was_never_recorded_has_given_out_its_fence(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.finish(entry, JobState.FAILED)

    store.run(retry_job(store.keys, entry.job_id))

    (again,) = store.claim()
    assert again.fence > entry.fence


@pytest.mark.parametrize("changes", [{}, {"delay": minutes(1)}, {"after": "up"}])
def test_a_job_that_waits_is_not_retried(store: Store, changes: dict[str, Any]) -> None:
    store.submit(id="up")
    job_id = store.submit(**changes)
    before = store.snapshot()

    with pytest.raises(IllegalTransition, match="cannot retry job"):
        store.run(retry_job(store.keys, job_id))

    assert store.snapshot() == before


def test_a_running_job_is_not_retried(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    before = store.snapshot()

    with pytest.raises(IllegalTransition):
        store.run(retry_job(store.keys, entry.job_id))

    assert store.snapshot() == before


def test_two_retries_at_once_queue_the_job_once(store: Store) -> None:
    store.add_worker()
    job_id = store.finished()
    first, second = retry_job(store.keys, job_id), retry_job(store.keys, job_id)
    first_call = first.send(store.connection.execute(next(first)))
    second_call = second.send(store.connection.execute(next(second)))

    assert store.connection.execute(first_call) == b"queued"
    assert store.connection.execute(second_call) == b"queued"  # the state it has by then
    assert len(store.entries()) == 1


def test_a_job_that_is_gone_is_not_found(store: Store) -> None:
    with pytest.raises(JobNotFound):
        store.run(retry_job(store.keys, "nobody"))


def test_a_retried_job_does_not_wait_for_its_upstream_job_again(store: Store) -> None:
    store.add_worker()
    upstream = store.submit()
    job_id = store.submit(after=upstream)
    (entry,) = store.claim()
    store.promote(*store.finish(entry, JobState.FAILED).woken)
    assert store.job(job_id).reason is Reason.UPSTREAM

    store.run(retry_job(store.keys, job_id))

    assert [entry.job_id for entry in store.claim()] == [job_id]


def test_a_retried_job_that_is_given_back_keeps_what_its_policy_does_not_count(
    store: Store,
) -> None:
    store.add_worker()
    job_id = store.finished(JobState.FAILED)
    store.run(retry_job(store.keys, job_id))
    (entry,) = store.claim()
    store.finish(entry, JobState.FAILED, retry_delay_ms=0)

    store.promote(job_id)

    (again,) = store.claim()
    assert (again.attempts, again.base) == (2, 1)


def test_a_retried_job_forgets_what_its_success_said(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.finish(entry, JobState.COMPLETED, stderr="2 rows were odd", usage="12,,,", left=LEFT)
    assert store.job(entry.job_id).last_stderr == "2 rows were odd"

    store.run(retry_job(store.keys, entry.job_id))

    job = store.job(entry.job_id)
    assert (job.last_stderr, job.usage, job.left) == (None, None, None)

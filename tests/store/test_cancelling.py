"""`settle.lua`: jobs that no worker has end at once; of claimed ones the wish is kept."""

from typing import Any

import pytest

from jobrunner.errors import IllegalTransition, JobNotFound
from jobrunner.model import TERMINAL, JobState, Reason
from jobrunner.store.attempts import StartedAs, requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import read_crons
from jobrunner.store.removal import delete_jobs
from jobrunner.store.settling import Settled, settle
from jobrunner.store.submission import retry_job
from jobrunner.store.watching import watch
from tests.store.factories import A_LOCK, A_WAITED_LOCK, Store, minutes


def cancel_job(store: Store, job_id: str) -> Settled:
    return store.run(cancel(store.keys, job_id)).what


def test_a_queued_job_is_cancelled_at_once(store: Store) -> None:
    store.add_worker()
    job_id, other = store.submit(), store.submit()

    assert cancel_job(store, job_id) is Settled.SETTLED

    job = store.job(job_id)
    assert (job.state, job.attempt, job.started_at) == (JobState.CANCELLED, 0, None)
    assert job.finished_at is not None
    assert [entry.job_id for entry in store.claim()] == [other]


def test_a_queued_job_is_cancelled_also_when_no_worker_ever_ran(store: Store) -> None:
    assert cancel_job(store, store.submit()) is Settled.SETTLED


@pytest.mark.parametrize("changes", [{"delay": minutes(1)}, {"after": "up"}])
def test_a_job_that_waits_is_cancelled_at_once(store: Store, changes: dict[str, Any]) -> None:
    store.submit(id="up")
    job_id = store.submit(**changes)

    assert cancel_job(store, job_id) is Settled.SETTLED
    assert store.state(job_id) is JobState.CANCELLED


def test_a_job_that_waits_for_its_retry_is_cancelled_at_once(store: Store) -> None:
    store.add_worker()
    job_id = store.retrying()

    assert cancel_job(store, job_id) is Settled.SETTLED
    assert store.due_jobs() == []


def test_a_claimed_job_stays_as_it_is_and_its_worker_is_told(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()

    outcome = store.run(cancel(store.keys, entry.job_id))

    assert (outcome.what, outcome.detail) == (Settled.CLAIMED, "w1")
    assert store.texts("LRANGE", store.keys.control("w1"), 0, -1) == [entry.job_id]
    assert 0 < store.command("TTL", store.keys.control("w1")) <= 3600
    assert store.texts("SMEMBERS", store.keys.cancelling()) == [entry.job_id]
    job = store.job(entry.job_id)
    assert (job.state, job.cancel_requested) == (JobState.QUEUED, True)


def test_a_running_job_goes_on_until_its_worker_has_stopped_it(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    assert cancel_job(store, entry.job_id) is Settled.CLAIMED
    assert store.state(entry.job_id) is JobState.RUNNING


@pytest.mark.parametrize("reason", [None, Reason.REPLACED])
def test_a_job_that_its_worker_stopped_tells_why_it_was_cancelled(
    store: Store, reason: Reason | None
) -> None:
    store.add_worker()
    entry = store.running()
    store.run(cancel(store.keys, entry.job_id, reason))

    store.finish(entry, JobState.CANCELLED)

    assert store.job(entry.job_id).reason is reason


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_job_that_has_ended_is_not_cancelled(store: Store, state: JobState) -> None:
    store.add_worker()
    job_id = store.finished(state)
    before = store.snapshot()

    with pytest.raises(IllegalTransition, match=f"cannot cancel job {job_id}: it .* UTC"):
        cancel_job(store, job_id)

    assert store.snapshot() == before


def test_a_job_that_does_not_exist_is_not_found(store: Store) -> None:
    with pytest.raises(JobNotFound):
        cancel_job(store, "nobody")
    assert store.records() == {}


def test_the_reason_of_a_cancel_is_kept(store: Store) -> None:
    job_id = store.submit()

    store.run(cancel(store.keys, job_id, Reason.REPLACED))

    assert store.job(job_id).reason is Reason.REPLACED


def test_a_job_in_another_state_than_asked_for_stays_as_it_is(store: Store) -> None:
    store.add_worker()
    entry, job_id = store.running(), store.submit()
    before = store.snapshot()

    for name in (job_id, entry.job_id):
        ended = store.run(settle(store.keys, name, JobState.FAILED, only_if=JobState.BLOCKED))
        assert ended.what is Settled.MOVED

    assert store.snapshot() == before


def test_a_cancelled_job_fails_those_that_wait_for_it(store: Store) -> None:
    job_id = store.submit()
    waiting = store.submit(after=job_id)
    last = store.submit(after=waiting)

    cancel_job(store, job_id)

    for name, upstream in ((waiting, job_id), (last, waiting)):
        job = store.job(name)
        assert (job.state, job.reason) == (JobState.FAILED, Reason.UPSTREAM)
        assert job.detail == upstream


def test_a_cancelled_job_is_told_to_who_watches_it(store: Store) -> None:
    job_id = store.submit()
    store.run(watch(store.keys, [job_id], "c1"))

    cancel_job(store, job_id)

    assert store.command("EXISTS", store.keys.watchers(job_id)) == 0


def test_a_waiting_job_that_is_cancelled_leaves_the_line(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    first, second = store.blocked(), store.blocked()

    cancel_job(store, first)

    assert store.waiting() == [second]
    assert store.state(second) is JobState.BLOCKED
    assert store.holders() == [holder.job_id]


@pytest.mark.parametrize("is_promoted", [True, False])
def test_a_woken_job_that_is_cancelled_passes_the_lock_on(store: Store, is_promoted: bool) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    first, second = store.blocked(), store.blocked()
    woken = store.finish(holder, lock=A_WAITED_LOCK).woken
    if is_promoted:
        store.promote(*woken)

    cancel_job(store, first)

    (entry,) = store.claim()
    assert entry.job_id == second
    assert store.start(entry, lock=A_WAITED_LOCK)[0] is StartedAs.STARTED


def test_a_cancelled_job_of_a_cron_is_the_crons_last_result(store: Store) -> None:
    store.add_worker()
    store.finish(store.claimed(cron="nightly"), cron="nightly")
    job_id = store.submit(cron="nightly")

    cancel_job(store, job_id)

    (record,) = store.run(read_crons(store.keys, ["nightly"]))
    assert (record.last_id, record.last_state) == (job_id, JobState.CANCELLED)
    assert record.last_duration is None


def test_a_cancelled_job_that_was_retried_keeps_its_own_due_time(store: Store) -> None:
    # It still is in the list of those whom its upstream job wakes.
    store.add_worker()
    upstream = store.submit(id="up")
    job_id = store.submit(after=upstream)
    (up,) = store.claim()
    cancel_job(store, job_id)
    store.run(retry_job(store.keys, job_id))
    (entry,) = store.claim()
    store.finish(entry, JobState.FAILED, retry_delay_ms=60_000)

    store.promote(*store.finish(up).woken)

    assert store.state(job_id) is JobState.SCHEDULED
    assert store.due_jobs() == []


def test_a_job_cancelled_while_it_waits_for_its_retry_tells_no_old_error(store: Store) -> None:
    store.add_worker()
    job_id = store.retrying()

    store.run(cancel(store.keys, job_id))

    job = store.job(job_id)
    assert job.state is JobState.CANCELLED
    assert (job.reason, job.error) == (None, None)


def test_a_job_retried_while_its_cancel_was_refused_is_told_as_it_had_ended(store: Store) -> None:
    store.add_worker()
    job_id = store.finished()
    cancelling = cancel(store.keys, job_id)
    read = store.connection.execute(next(cancelling))
    refused = store.connection.execute(cancelling.send(read))
    reading = cancelling.send(refused)
    store.run(retry_job(store.keys, job_id))

    with pytest.raises(IllegalTransition, match=f"cannot cancel job {job_id}: it completed at"):
        cancelling.send(store.connection.execute(reading))


def test_a_job_that_was_given_back_leaves_its_lock_when_it_is_cancelled(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()
    store.run(requeue(store.keys, [holder], is_lost=False))

    settled = store.run(settle(store.keys, holder.job_id, JobState.CANCELLED))

    assert store.holders() == []
    assert settled.woken == [waiter]
    assert store.due_jobs() == [waiter]


def test_a_job_deleted_just_before_it_was_to_be_ended_is_gone(store: Store) -> None:
    store.add_worker()
    job_id = store.finished()
    settling = settle(store.keys, job_id, JobState.CANCELLED)
    script = settling.send(store.connection.execute(next(settling)))
    store.run(delete_jobs(store.keys, [job_id]))

    with pytest.raises(StopIteration) as stopped:
        settling.send(store.connection.execute(script))

    assert stopped.value.value.what is Settled.GONE

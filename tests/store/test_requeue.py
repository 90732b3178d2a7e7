"""`requeue.lua`: jobs given back at a drain, or taken from a dead worker."""

import pytest

from jobrunner.model import JobState
from jobrunner.store.attempts import Requeued, requeue
from jobrunner.store.cancelling import cancel
from tests.store.factories import A_LOCK, MESSAGE, Store


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_lost_attempt_counts(store: Store, is_recorded: bool) -> None:
    store.add_worker()
    entry = store.running() if is_recorded else store.claimed()

    assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.QUEUED]

    (again,) = store.claim()
    assert (again.attempts, again.attempt, again.lost) == (1, 2, 1)
    assert again.message == MESSAGE
    assert again.fence > entry.fence
    assert store.job(entry.job_id).attempt == 1


def test_an_attempt_given_back_does_not_count(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    store.run(requeue(store.keys, [entry], is_lost=False))

    job = store.job(entry.job_id)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    assert (job.started_at, job.worker) == (None, None)
    (again,) = store.claim()
    assert (again.attempts, again.lost) == (0, 0)
    assert again.fence > entry.fence


def test_losses_and_attempts_add_up(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    for _ in range(3):
        store.run(requeue(store.keys, [entry], is_lost=True))
        (entry,) = store.claim()
    store.finish(entry, JobState.FAILED, retry_delay_ms=1000)
    store.make_due(entry.job_id)
    store.promote(entry.job_id)

    (entry,) = store.claim()

    assert (entry.attempt, entry.lost) == (5, 3)


def test_an_entry_is_taken_back_once(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w1")
    store.run(requeue(store.keys, [entry], is_lost=True))
    store.claim("w2")
    before = store.snapshot()

    assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.STALE]
    assert store.snapshot() == before


def test_a_finished_job_is_not_taken_back(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.finish(entry)
    before = store.snapshot()

    assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.STALE]
    assert store.snapshot() == before


def test_a_job_that_is_being_cancelled_is_left_to_be_finished(store: Store) -> None:
    store.add_worker()
    entry, other = store.running(), store.running()
    store.run(cancel(store.keys, entry.job_id))

    replies = store.run(requeue(store.keys, [entry, other], is_lost=True))

    assert replies == [Requeued.CANCELLING, Requeued.QUEUED]
    assert store.finish(entry, JobState.CANCELLED).states == [JobState.CANCELLED]


def test_an_entry_whose_record_is_gone_is_dropped(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.command("DEL", store.keys.job(entry.job_id))
    store.command("DEL", store.keys.counts())

    assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.STALE]
    assert (store.records(), store.entries()) == ({}, {})


def test_an_entry_that_its_job_does_not_know_is_dropped(store: Store) -> None:
    # Made by hand: a rescuer must not find it again and again, and the job runs once.
    store.add_worker()
    entry = store.running()
    double = store.doubled(entry)

    assert store.run(requeue(store.keys, [double], is_lost=True)) == [Requeued.STALE]
    assert store.state(entry.job_id) is JobState.RUNNING


def test_a_job_taken_back_keeps_its_lock_until_that_ends(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)

    store.run(requeue(store.keys, [entry], is_lost=True))

    assert store.holders() == [entry.job_id]


def test_a_whole_batch_goes_back(store: Store) -> None:
    store.add_worker()
    for _ in range(300):
        store.submit()
    entries = store.claim(free=300)

    replies = store.run(requeue(store.keys, entries, is_lost=False))

    assert replies == [Requeued.QUEUED] * 300
    assert [entry.job_id for entry in store.claim(free=300)] == [e.job_id for e in entries]


def test_nothing_to_give_back_is_no_call(store: Store) -> None:
    assert store.run(requeue(store.keys, [], is_lost=False)) == []

"""`promote.lua`: from scheduled and blocked to the queues."""

from contextlib import suppress

import pytest

from jobrunner.clock import to_ms
from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.due import BATCH, promote, promote_due
from jobrunner.store.removal import delete_jobs
from jobrunner.store.requests import Script
from jobrunner.store.submission import retry_job, submit
from tests.store.factories import A_WAITED_LOCK, LONG_AGO, Store, minutes


def test_what_is_due_is_queued_and_the_rest_is_not(store: Store) -> None:
    due = store.submit(delay=minutes(1), queue="web", priority=Priority.HIGH)
    later = store.submit(delay=minutes(10))
    store.make_due(due)

    promotion = store.run(promote_due(store.keys))

    assert (promotion.promoted, promotion.is_more_due) == (1, False)
    assert promotion.next_due_at == store.job(later).due_at
    assert (store.state(due), store.state(later)) == (JobState.QUEUED, JobState.SCHEDULED)
    assert store.entry_of(due)["id"] == due


def test_nothing_scheduled_means_nothing_to_wait_for(store: Store) -> None:
    promotion = store.run(promote_due(store.keys))

    assert (promotion.promoted, promotion.is_more_due) == (0, False)
    assert promotion.next_due_at is None


def test_a_round_instant_is_read_as_it_was_written(store: Store) -> None:
    job_id = store.submit(delay=minutes(1))
    store.command("ZADD", store.keys.scheduled(), 4_000_000_000_000, job_id)

    next_due_at = store.run(promote_due(store.keys)).next_due_at

    assert next_due_at is not None
    assert to_ms(next_due_at) == 4_000_000_000_000


def test_many_due_jobs_are_promoted_in_batches(store: Store) -> None:
    number = BATCH + 3
    submissions = [store.submission(delay=minutes(1)) for _ in range(number)]
    store.run(submit(store.keys, submissions))
    for submission in submissions:
        store.make_due(submission.id)

    first = store.run(promote_due(store.keys))
    second = store.run(promote_due(store.keys))

    assert (first.promoted, first.is_more_due, first.next_due_at) == (BATCH, True, None)
    assert (second.promoted, second.is_more_due) == (3, False)
    assert len(store.entries()) == number


def test_no_call_takes_more_than_a_batch_however_many_jobs_were_woken(store: Store) -> None:
    submissions = [store.submission(delay=minutes(1)) for _ in range(2 * BATCH + 3)]
    store.run(submit(store.keys, submissions))
    for submission in submissions:
        store.make_due(submission.id)

    operation, sizes = promote(store.keys, [item.id for item in submissions]), list[int]()
    request = next(operation)
    with suppress(StopIteration):
        while True:
            if isinstance(request, Script):
                sizes.append(len(request.args) // 2)
            request = operation.send(store.connection.execute(request))

    assert sizes == [BATCH, BATCH, 3]


def test_a_job_that_is_not_due_any_more_stays(store: Store) -> None:
    job_id = store.submit(delay=minutes(1))
    before = store.snapshot()

    assert store.promote(job_id) == 0
    assert store.snapshot() == before


def test_two_schedulers_queue_a_due_job_once(store: Store) -> None:
    job_id = store.submit(delay=minutes(1))
    store.make_due(job_id)

    assert [store.promote(job_id), store.promote(job_id)] == [1, 0]
    assert len(store.entries()) == 1


def test_a_member_without_a_record_is_forgotten(store: Store) -> None:
    store.command("ZADD", store.keys.scheduled(), LONG_AGO, "ghost")

    assert store.run(promote_due(store.keys)).promoted == 0
    assert store.command("ZCARD", store.keys.scheduled()) == 0


@pytest.mark.parametrize("state", ["queued", "running", "completed"])
def test_a_member_that_does_not_wait_is_not_queued_again(store: Store, state: str) -> None:
    store.add_worker()
    ways = {"queued": store.claimed, "running": store.running}
    job_id = ways[state]().job_id if state in ways else store.finished()
    store.command("ZADD", store.keys.scheduled(), LONG_AGO, job_id)
    entries = store.entries()

    assert store.run(promote_due(store.keys)).promoted == 0
    assert store.state(job_id) == state
    assert store.entries() == entries
    assert store.command("ZCARD", store.keys.scheduled()) == 0


def test_a_chain_fails_as_far_as_it_waits_for_a_failed_job(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    second = store.submit(after=entry.job_id)
    third = store.submit(after=second)
    beside = store.submit()

    promoted = store.promote(*store.finish(entry, JobState.FAILED).woken)

    assert promoted == 0
    for job_id, upstream in ((second, entry.job_id), (third, second)):
        job = store.job(job_id)
        assert (job.state, job.reason) == (JobState.FAILED, Reason.UPSTREAM)
        assert job.detail == upstream
    assert store.state(beside) is JobState.QUEUED


def test_a_chain_goes_on_link_by_link(store: Store) -> None:
    store.add_worker()
    first = store.submit()
    second = store.submit(after=first)
    third = store.submit(after=second)
    order = []
    for _ in range(3):
        (entry,) = store.claim()
        order.append(entry.job_id)
        store.promote(*store.finish(entry).woken)

    assert order == [first, second, third]
    assert store.job(second).after == first


def test_a_job_goes_on_waiting_when_its_upstream_job_is_retried_first(store: Store) -> None:
    store.add_worker()
    upstream = store.submit()
    job_id = store.submit(after=upstream)
    (entry,) = store.claim()
    woken = store.finish(entry, JobState.FAILED).woken
    store.run(retry_job(store.keys, upstream))

    assert store.promote(*woken) == 0
    assert store.state(job_id) is JobState.BLOCKED
    assert store.due_jobs() == []
    (entry,) = store.claim()
    assert entry.job_id == upstream
    assert store.promote(*store.finish(entry).woken) == 1


def test_a_retry_does_not_ask_for_an_upstream_job_that_was_pruned(store: Store) -> None:
    store.add_worker()
    upstream = store.finished()
    job_id = store.submit(after=upstream)
    store.promote(job_id)
    (entry,) = store.claim()
    store.run(delete_jobs(store.keys, [upstream]))
    store.finish(entry, JobState.FAILED, retry_delay_ms=1000)
    store.make_due(job_id)

    assert store.promote(job_id) == 1
    assert store.state(job_id) is JobState.QUEUED


def test_a_job_whose_upstream_job_is_gone_fails(store: Store) -> None:
    store.add_worker()
    upstream = store.finished()
    job_id = store.submit(after=upstream)
    store.run(delete_jobs(store.keys, [upstream]))

    store.run(promote_due(store.keys))

    assert store.job(job_id).reason is Reason.UPSTREAM


def test_a_job_woken_by_a_lock_tells_no_holder_any_more(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()

    store.promote(*store.finish(holder, lock=A_WAITED_LOCK).woken)

    assert store.state(waiter) is JobState.QUEUED
    assert store.job(waiter).detail is None

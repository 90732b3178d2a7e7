"""`finish.lua`: how attempts end, once."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from jobrunner.clock import to_ms
from jobrunner.model import TERMINAL, JobError, JobState, LeftProcess, Reason, Usage
from jobrunner.store.attempts import StartedAs, finish, requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import read_crons
from jobrunner.store.watching import watch
from tests.store.factories import A_LOCK, A_WAITED_LOCK, AN_ERROR, Store, minutes


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_finished_job_is_in_the_history_and_in_no_queue(store: Store, state: JobState) -> None:
    store.add_worker()
    entry = store.running()

    finished = store.finish(entry, state)

    job = store.job(entry.job_id)
    assert finished.states == [state]
    assert (job.state, job.attempt, job.worker) == (state, 1, "w1")
    assert job.duration == timedelta(milliseconds=5)
    assert job.finished_at is not None
    assert job.started_at is not None
    assert store.entries() == {}


def test_what_an_attempt_said_used_and_left_is_on_record(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()

    left = b'[{"pid":7,"name":"sleep","is_gone":false}]'
    store.finish(entry, stderr="2 rows were odd", usage="12,1048576,,0", left=left)

    job = store.job(entry.job_id)
    assert job.last_stderr == "2 rows were odd"
    assert job.usage == Usage(12, 1_048_576, None, 0)
    assert job.left == [LeftProcess(7, "sleep", is_gone=False)]


def test_the_start_of_a_job_without_a_start_record_is_reckoned_back(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()

    store.finish(entry, duration_ms=17, result=b'{"rows":3}')

    job = store.job(entry.job_id)
    assert job.result == {"rows": 3}
    assert job.finished_at is not None
    assert job.started_at == job.finished_at - timedelta(milliseconds=17)


def test_the_start_that_was_written_is_kept(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    started_at = store.job(entry.job_id).started_at

    store.finish(entry, duration_ms=99_000)

    assert store.job(entry.job_id).started_at == started_at


def test_a_job_that_was_skipped_before_it_began_has_no_start_and_no_attempt(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()

    store.finish(
        entry, JobState.SKIPPED, reason=Reason.LOCKED, detail="holder", counts_attempt=False
    )

    job = store.job(entry.job_id)
    assert (job.started_at, job.attempt) == (None, 0)
    assert (job.reason, job.detail) == (Reason.LOCKED, "holder")


def test_many_jobs_end_in_one_call(store: Store) -> None:
    store.add_worker()
    for _ in range(300):
        store.submit()
    entries = store.claim(free=300)

    finished = store.run(finish(store.keys, "w1", [store.end(entry) for entry in entries]))

    assert finished.states == [JobState.COMPLETED] * 300


def test_a_late_finish_is_refused_and_writes_nothing(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w1", lock=A_LOCK)
    store.run(requeue(store.keys, [entry], is_lost=True))
    (again,) = store.claim("w2")
    store.start(again, "w2", A_LOCK)
    before = store.snapshot()

    finished = store.finish(entry, result=b'"zombie"', lock=A_LOCK, cron="nightly")

    assert (finished.states, finished.woken) == ([None], [])
    assert store.snapshot() == before
    assert store.holders() == [entry.job_id]


def test_a_finish_repeated_after_a_lost_reply_is_refused(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.finish(entry)
    before = store.snapshot()

    assert store.finish(entry, JobState.FAILED, error=AN_ERROR).states == [None]
    assert store.snapshot() == before


def test_a_refused_finish_does_not_hold_up_the_others_of_its_batch(store: Store) -> None:
    store.add_worker()
    first, second, third = store.claimed(), store.claimed(), store.claimed()
    store.finish(second)

    ends = [store.end(first, lock=A_LOCK), store.end(second, cron="c"), store.end(third)]
    finished = store.run(finish(store.keys, "w1", ends))

    assert finished.states == [JobState.COMPLETED, None, JobState.COMPLETED]


def test_an_entry_whose_record_was_deleted_by_hand_leaves_nothing(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.command("DEL", store.keys.job(entry.job_id))
    store.command("DEL", store.keys.counts())

    assert store.finish(entry).states == [None]
    assert (store.records(), store.entries()) == ({}, {})


def test_the_end_of_an_entry_that_its_job_does_not_know_is_refused(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    double = store.doubled(entry)

    assert store.finish(double).states == [None]
    assert store.state(entry.job_id) is JobState.RUNNING


def test_nothing_to_end_is_no_call(store: Store) -> None:
    assert store.run(finish(store.keys, "w1", [])).states == []


def test_a_failed_attempt_with_a_retry_is_scheduled(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    before = store.now_ms()

    finished = store.finish(
        entry, JobState.FAILED, reason=Reason.ERROR, error=AN_ERROR, retry_delay_ms=60_000
    )

    job = store.job(entry.job_id)
    assert finished.states == [JobState.SCHEDULED]
    assert (job.state, job.attempt, job.finished_at) == (JobState.SCHEDULED, 1, None)
    assert job.reason is Reason.ERROR
    assert job.error == JobError("ValueError", "bad input")
    assert job.due_at is not None
    assert before + 60_000 <= to_ms(job.due_at) <= store.now_ms() + 60_000
    assert store.promote(entry.job_id) == 0


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_retry_is_the_next_attempt_with_a_higher_fence(store: Store, is_recorded: bool) -> None:
    store.add_worker()
    entry = store.running() if is_recorded else store.claimed()
    store.finish(entry, JobState.FAILED, retry_delay_ms=60_000)
    store.make_due(entry.job_id)
    store.promote(entry.job_id)

    (again,) = store.claim()

    assert (again.attempt, again.lost, again.base) == (2, 0, 0)
    assert again.fence > entry.fence


def test_a_job_that_completes_after_a_retry_tells_no_old_error(store: Store) -> None:
    store.add_worker()
    job_id = store.retrying()
    store.make_due(job_id)
    store.promote(job_id)
    (again,) = store.claim()

    store.finish(again, result=b"1")

    job = store.job(job_id)
    assert (job.state, job.attempt, job.result) == (JobState.COMPLETED, 2, 1)
    assert (job.reason, job.error, job.detail) == (None, None, None)


def test_a_job_cancelled_while_its_attempt_failed_is_not_retried(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(cancel(store.keys, entry.job_id))

    finished = store.finish(
        entry, JobState.FAILED, reason=Reason.ERROR, error=AN_ERROR, retry_delay_ms=1000
    )

    assert finished.states == [JobState.CANCELLED]
    assert store.job(entry.job_id).reason is None
    assert store.texts("SMEMBERS", store.keys.cancelling()) == []


def test_a_job_that_completed_before_its_cancel_arrived_is_completed(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(cancel(store.keys, entry.job_id))

    assert store.finish(entry).states == [JobState.COMPLETED]
    assert store.texts("SMEMBERS", store.keys.cancelling()) == []


def test_the_end_frees_the_lock(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)

    store.finish(entry, lock=A_LOCK)

    assert store.holders() == []
    assert store.texts("ZRANGE", store.keys.locks(), 0, -1) == []


def test_a_retry_frees_the_lock_meanwhile(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)

    store.finish(entry, JobState.FAILED, lock=A_LOCK, retry_delay_ms=1000)

    assert store.holders() == []


def test_the_end_of_a_job_without_the_lock_does_not_free_it(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    skipped = store.claimed()

    store.finish(skipped, JobState.SKIPPED, lock=A_LOCK)

    assert store.holders() == [holder.job_id]


def test_a_freed_lock_wakes_the_next_in_order_and_only_that(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    first, second = store.blocked(), store.blocked()

    woken = store.finish(holder, lock=A_WAITED_LOCK).woken
    assert woken == [first]
    store.promote(*woken)
    (entry,) = store.claim()
    assert store.start(entry, lock=A_WAITED_LOCK)[0] is StartedAs.STARTED

    assert store.state(second) is JobState.BLOCKED
    assert store.finish(entry, lock=A_WAITED_LOCK).woken == [second]


def test_a_freed_semaphore_wakes_as_many_as_fit(store: Store) -> None:
    store.add_worker()
    semaphore = replace(A_WAITED_LOCK, slots=2)
    holders = [store.running(lock=semaphore), store.running(lock=semaphore)]
    waiters = [store.blocked(semaphore) for _ in range(3)]
    ends = [store.end(holder, lock=semaphore) for holder in holders]

    store.run(finish(store.keys, "w1", ends))

    assert store.due_jobs() == sorted(waiters[:2])


def test_a_woken_job_whose_finisher_died_is_found_by_the_scheduler(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()

    store.finish(holder, lock=A_WAITED_LOCK)

    assert store.due_jobs() == [waiter]


def test_the_end_wakes_jobs_that_wait_for_this_one_and_no_others(store: Store) -> None:
    store.add_worker()
    entry, other = store.running(), store.running()
    waiting = store.submit(after=entry.job_id)
    still_waiting = store.submit(after=other.job_id)

    finished = store.finish(entry)

    assert finished.woken == [waiting]
    assert store.promote(*finished.woken) == 1
    assert store.state(waiting) is JobState.QUEUED
    assert store.state(still_waiting) is JobState.BLOCKED


def test_a_retry_wakes_nobody(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    waiting = store.submit(after=entry.job_id)

    finished = store.finish(entry, JobState.FAILED, retry_delay_ms=1000)

    assert finished.woken == []
    assert store.state(waiting) is JobState.BLOCKED


def test_the_end_of_a_watched_job_is_told_once(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(watch(store.keys, [entry.job_id], "c1"))

    assert store.finish(entry).woken == []
    assert store.command("EXISTS", store.keys.watchers(entry.job_id)) == 0


def test_a_crons_last_result_is_noted(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    store.finish(entry, JobState.FAILED, reason=Reason.TIMEOUT, cron="nightly", duration_ms=70)

    (record,) = store.run(read_crons(store.keys, ["nightly"]))
    assert (record.last_id, record.last_state) == (entry.job_id, JobState.FAILED)
    assert record.last_reason is Reason.TIMEOUT
    assert record.last_duration == timedelta(milliseconds=70)
    assert record.last_finished_at == store.job(entry.job_id).finished_at


def test_a_retry_is_not_a_crons_last_result(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    store.finish(entry, JobState.FAILED, cron="nightly", retry_delay_ms=1000)

    (record,) = store.run(read_crons(store.keys, ["nightly"]))
    assert record.last_id is None


@pytest.mark.parametrize(("result", "number"), [(b"1", 1), (b"", 0)])
def test_a_results_life_is_noted_where_there_is_one(
    store: Store, result: bytes, number: int
) -> None:
    store.add_worker()
    entry = store.running()

    store.finish(entry, result=result, result_life_ms=minutes(1) // timedelta(milliseconds=1))

    assert store.command("ZCARD", store.keys.results()) == number


def test_the_counts_follow_the_records_task_whatever_the_caller_says(store: Store) -> None:
    store.add_worker()
    entry = store.claimed(task="backup")

    # A worker that cannot read the message does not know the task.
    store.finish(entry, JobState.FAILED, task="?")

    assert store.command("HGETALL", store.keys.counts()) == []
    # Its history is where the caller put it; the records' check wants it under the task.
    store.command("ZADD", store.keys.task_done("backup"), 1, entry.job_id)
    store.command("ZREM", store.keys.task_done("?"), entry.job_id)


def test_a_job_cancelled_before_its_second_attempt_began_tells_no_old_error(store: Store) -> None:
    store.add_worker()
    job_id = store.retrying()
    store.make_due(job_id)
    store.promote(job_id)
    (again,) = store.claim()

    store.finish(again, JobState.CANCELLED, counts_attempt=False)

    job = store.job(job_id)
    assert (job.state, job.attempt) == (JobState.CANCELLED, 1)
    assert (job.reason, job.error, job.detail) == (None, None, None)


def test_a_job_that_ends_in_the_line_for_a_lock_leaves_its_place_to_the_next(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    first, second = store.blocked(), store.blocked()
    assert store.finish(holder, lock=A_WAITED_LOCK).woken == [first]
    store.promote(first)
    (entry,) = store.claim()

    finished = store.finish(entry, JobState.CANCELLED, lock=A_WAITED_LOCK, counts_attempt=False)

    assert finished.woken == [second]
    assert store.waiting() == [second]


def test_who_does_not_know_the_slots_gives_on_the_one_that_the_job_had(store: Store) -> None:
    store.add_worker()
    semaphore = replace(A_WAITED_LOCK, slots=2)
    dead, _ = store.running(lock=semaphore), store.running(lock=semaphore)
    waiter = store.blocked(semaphore)

    finished = store.finish(dead, JobState.FAILED, lock=replace(semaphore, slots=1))

    assert finished.woken == [waiter]

"""`start.lua`: start records, and locks taken under a growing token."""

import pytest
from msgspec.structs import replace

from jobrunner.clock import to_ms
from jobrunner.model import JobState
from jobrunner.store.attempts import Entry, HeldLock, Start, StartedAs, requeue, start
from jobrunner.store.cancelling import cancel
from tests.store.factories import A_LOCK, A_WAITED_LOCK, LONG_AGO, Store

WAITED_SEMAPHORE = replace(A_WAITED_LOCK, slots=2)


def rescue(store: Store, entry: Entry, to: str = "w2") -> Entry:
    """Take the entry from its dead worker; another worker claims the job."""
    store.run(requeue(store.keys, [entry], is_lost=True))
    (again,) = store.claim(to)
    return again


def test_a_start_writes_the_record(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    before = store.now_ms()

    started = store.start(entry, elapsed_ms=40)

    job = store.job(entry.job_id)
    assert started == (StartedAs.STARTED, "")
    assert (job.state, job.attempt, job.worker) == (JobState.RUNNING, 1, "w1")
    assert job.started_at is not None
    assert before - 40 <= to_ms(job.started_at) <= store.now_ms() - 40


def test_many_starts_go_in_one_call(store: Store) -> None:
    store.add_worker()
    for _ in range(300):
        store.submit()
    entries = store.claim(free=300)

    replies = store.run(start(store.keys, "w1", [Start(entry, "demo") for entry in entries]))

    assert replies == [(StartedAs.STARTED, "")] * 300


def test_a_repeated_start_changes_no_count(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    assert store.start(entry) == (StartedAs.STARTED, "")
    assert store.command("HGET", store.keys.counts(), "running:demo") == b"1"


def test_a_start_of_a_job_that_went_to_another_worker_is_refused(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.claimed("w1")
    rescue(store, entry)
    before = store.snapshot()

    assert store.start(entry, "w1", A_LOCK) == (StartedAs.STALE, "")
    assert store.snapshot() == before


def test_a_start_of_a_finished_attempt_is_refused(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.finish(entry)
    before = store.snapshot()

    assert store.start(entry, lock=A_LOCK) == (StartedAs.STALE, "")
    assert store.snapshot() == before


def test_a_job_cancelled_after_its_claim_does_not_start(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.run(cancel(store.keys, entry.job_id))

    assert store.start(entry, lock=A_LOCK) == (StartedAs.CANCELLED, "")
    assert store.state(entry.job_id) is JobState.QUEUED
    assert store.holders() == []


def test_a_start_takes_the_lock_with_a_token(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    before = store.now_ms()

    what, token = store.start(entry, lock=A_LOCK)

    assert (what, store.holders()) == (StartedAs.STARTED, [entry.job_id])
    assert store.record(entry.job_id)["lock_token"] == token
    assert store.job(entry.job_id).lock == "report"
    end = int(store.command("ZSCORE", store.keys.lock("report"), entry.job_id))
    assert before + 60_000 <= end <= store.now_ms() + 60_000


@pytest.mark.parametrize(
    ("conflict", "what"),
    [("skip", StartedAs.LOCKED), ("fail", StartedAs.LOCKED), ("wait", StartedAs.BLOCKED)],
)
def test_a_held_lock_keeps_another_job_out_and_names_the_holder(
    store: Store, conflict: str, what: StartedAs
) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    entry = store.claimed()

    assert store.start(entry, lock=replace(A_LOCK, conflict=conflict)) == (what, holder.job_id)
    assert store.holders() == [holder.job_id]


def test_a_job_kept_out_by_skip_stays_claimed_for_its_worker_to_finish(store: Store) -> None:
    store.add_worker()
    store.running(lock=A_LOCK)
    entry = store.claimed()

    store.start(entry, lock=A_LOCK)

    assert store.state(entry.job_id) is JobState.QUEUED
    store.finish(entry, JobState.SKIPPED, lock=A_LOCK)
    assert store.state(entry.job_id) is JobState.SKIPPED


def test_a_waiting_job_is_blocked_and_leaves_its_worker(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    entry = store.claimed()

    store.start(entry, lock=A_WAITED_LOCK)

    job = store.job(entry.job_id)
    assert (job.state, job.lock, job.detail) == (JobState.BLOCKED, "report", holder.job_id)
    assert store.waiting() == [entry.job_id]
    assert store.start(entry, lock=A_WAITED_LOCK) == (StartedAs.STALE, "")


def test_locks_of_other_names_are_free(store: Store) -> None:
    store.add_worker()
    store.running(lock=A_LOCK)
    entry = store.claimed()

    assert store.start(entry, lock=replace(A_LOCK, name="other"))[0] is StartedAs.STARTED


def test_a_lock_may_have_an_empty_name(store: Store) -> None:
    # `lock: {name: "{region}"}` with an empty region: the jobs behind it keep their own keys.
    store.add_worker()
    nameless = replace(A_LOCK, name="")
    first, second, third = store.claimed(), store.claimed(), store.claimed()
    starts = [Start(first, "demo", 0, nameless), Start(second, "demo", 0, A_LOCK)]

    store.run(start(store.keys, "w1", [*starts, Start(third, "demo")]))

    assert store.holders(nameless) == [first.job_id]
    assert store.holders() == [second.job_id]
    store.finish(first, lock=nameless)
    assert store.holders(nameless) == []


def test_a_semaphore_lets_as_many_in_as_it_has_slots(store: Store) -> None:
    store.add_worker()
    semaphore = replace(A_LOCK, slots=2)
    first, second, third = store.claimed(), store.claimed(), store.claimed()

    whats = [store.start(entry, lock=semaphore)[0] for entry in (first, second, third)]

    assert whats == [StartedAs.STARTED, StartedAs.STARTED, StartedAs.LOCKED]


def test_tokens_grow_with_each_holder_of_any_lock(store: Store) -> None:
    store.add_worker()
    tokens = []
    for name in ("a", "b", "a", "b"):
        lock = HeldLock(name, 1, 60_000, "skip")
        entry = store.claimed()
        tokens.append(int(store.start(entry, lock=lock)[1]))
        store.finish(entry, lock=lock)

    assert tokens == sorted(set(tokens))


def test_a_job_taken_from_a_dead_worker_keeps_its_lock_under_a_new_token(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w1", lock=A_LOCK)
    first_token = int(store.record(entry.job_id)["lock_token"])

    what, token = store.start(rescue(store, entry), "w2", A_LOCK)

    assert what is StartedAs.STARTED
    assert int(token) > first_token
    assert store.holders() == [entry.job_id]


def test_a_lock_whose_lease_has_ended_is_free(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    store.command("ZADD", store.keys.lock("report"), LONG_AGO, holder.job_id)
    entry = store.claimed()

    assert store.start(entry, lock=A_LOCK)[0] is StartedAs.STARTED
    assert store.holders() == [entry.job_id]


def test_waiting_jobs_keep_their_order_also_within_a_millisecond(store: Store) -> None:
    store.add_worker()
    store.running(lock=A_LOCK)
    entries = [store.claimed(id=name) for name in ("c", "a", "d", "b")]

    starts = [Start(entry, "demo", 0, A_WAITED_LOCK) for entry in entries]
    store.run(start(store.keys, "w1", starts))

    assert store.waiting() == ["c", "a", "d", "b"]


def test_a_newcomer_does_not_overtake_a_waiting_job(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    waiter = store.blocked()
    newcomer = store.claimed()
    store.finish(holder, lock=A_LOCK)

    assert store.start(newcomer, lock=A_LOCK) == (StartedAs.LOCKED, waiter)
    store.promote(waiter)
    (entry,) = store.claim()
    assert store.start(entry, lock=A_WAITED_LOCK)[0] is StartedAs.STARTED
    assert store.waiting() == []


def test_a_woken_job_that_finds_the_lock_taken_waits_again_in_its_place(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    first, second = store.blocked(), store.blocked()
    store.command("ZADD", store.keys.scheduled(), LONG_AGO, first)
    store.promote(first)
    (entry,) = store.claim()

    assert store.start(entry, lock=A_WAITED_LOCK) == (StartedAs.BLOCKED, holder.job_id)
    assert store.waiting() == [first, second]


def test_a_job_that_takes_a_slot_wakes_the_next_while_more_are_free(store: Store) -> None:
    store.add_worker()
    holders = [store.running(lock=WAITED_SEMAPHORE), store.running(lock=WAITED_SEMAPHORE)]
    first, second = store.blocked(WAITED_SEMAPHORE), store.blocked(WAITED_SEMAPHORE)
    for holder in holders:  # both vanished, e.g. with their host
        store.command("ZADD", store.keys.lock("report"), LONG_AGO, holder.job_id)
    store.command("ZADD", store.keys.scheduled(), LONG_AGO, first)
    store.promote(first)
    (entry,) = store.claim()

    store.start(entry, lock=WAITED_SEMAPHORE)

    assert store.due_jobs() == [second]


def test_a_blocked_job_that_is_woken_gets_a_higher_fence(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    waiter = store.blocked()
    store.finish(holder, lock=A_LOCK)
    store.promote(waiter)

    (entry,) = store.claim()

    assert (entry.job_id, entry.attempt, entry.fence) == (waiter, 1, 2)


def test_a_start_repeated_after_its_lock_went_to_another_job_waits_for_it(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_WAITED_LOCK)
    store.command("DEL", store.keys.lock(A_WAITED_LOCK.name))
    other = store.running(lock=A_WAITED_LOCK)

    what, holder = store.start(entry, lock=A_WAITED_LOCK)

    job = store.job(entry.job_id)
    assert (what, holder) == (StartedAs.BLOCKED, other.job_id)
    assert (job.state, job.started_at, job.worker) == (JobState.BLOCKED, None, None)
    assert store.texts("ZRANGE", store.keys.running(), 0, -1) == [other.job_id]

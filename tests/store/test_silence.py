"""`unrenewed.lua`: which workers do not renew, and which locks they are about to lose."""

from datetime import timedelta

from jobrunner.store.attempts import requeue
from jobrunner.store.leases import LockLease, renew
from jobrunner.store.silence import Silence, find_silent
from tests.store.factories import A_LOCK, Store

TTL = timedelta(seconds=15)


def find(store: Store, *workers: str) -> list[Silence]:
    return store.run(find_silent(store.keys, workers, TTL))


def beat(store: Store, worker: str = "w1", seconds_ago: float = 0) -> None:
    """As the worker's own heartbeat, so long ago."""
    store.run(renew(store.keys, worker, [], groups=b"[]"))
    at = store.now_ms() - round(seconds_ago * 1000)
    store.command("HSET", store.keys.worker(worker), "renewed_at", at)


def let_lock_end_in(store: Store, job_id: str, seconds: float) -> None:
    store.command("ZADD", store.keys.lock("report"), store.now_ms() + seconds * 1000, job_id)
    store.command("ZADD", store.keys.locks(), store.now_ms() + seconds * 1000, "report")


def lease_of(store: Store, job_id: str) -> LockLease:
    return LockLease("report", job_id, store.record(job_id)["lock_token"], A_LOCK.ttl_ms)


def test_a_worker_that_has_not_renewed_for_half_of_its_lease_is_silent(store: Store) -> None:
    for worker, seconds in (("w1", 7.6), ("w2", 7.3), ("w3", 60)):
        store.add_worker(worker)
        beat(store, worker, seconds)

    assert find(store, "w1", "w2") == [Silence("w1", [])]


def test_who_was_renewed_by_others_is_still_silent(store: Store) -> None:
    store.add_worker()
    beat(store, seconds_ago=8)

    assert store.run(renew(store.keys, "w1", [])).is_alive

    assert find(store, "w1") == [Silence("w1", [])]


def test_a_worker_that_has_yet_to_renew_for_the_first_time_is_not_silent(store: Store) -> None:
    store.add_worker()

    assert find(store, "w1") == []


def test_a_worker_that_is_held_up_before_its_first_renewal_is_silent(store: Store) -> None:
    for worker, seconds_left in (("w1", 7), ("w2", 8)):
        store.add_worker(worker)
        end = store.now_ms() + seconds_left * 1000
        store.command("ZADD", store.keys.workers(), end, worker)

    assert find(store, "w1", "w2") == [Silence("w1", [])]


def test_a_buried_worker_is_not_silent_but_dead(store: Store) -> None:
    store.add_worker()
    beat(store, seconds_ago=8)
    store.command("ZREM", store.keys.workers(), "w1")

    assert find(store, "w1") == []


def test_a_lock_that_was_not_renewed_makes_its_worker_silent_before_its_lease_does(
    store: Store,
) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    beat(store)
    assert find(store, "w1") == []

    let_lock_end_in(store, entry.job_id, 5)

    assert find(store, "w1") == [Silence("w1", [lease_of(store, entry.job_id)])]
    assert find(store, "w2") == []


def test_the_lock_of_a_job_that_waits_in_its_queue_again_is_nobodys_to_renew(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    let_lock_end_in(store, entry.job_id, 5)

    store.run(requeue(store.keys, [entry], is_lost=True))

    assert find(store, "w1") == []

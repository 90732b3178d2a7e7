"""`wake.lua`: locks whose holder vanished, and locks broken by hand."""

from msgspec.structs import replace

from jobrunner.model import JobState
from jobrunner.store.attempts import StartedAs
from jobrunner.store.cancelling import cancel
from jobrunner.store.due import promote_due
from jobrunner.store.leases import LockLease, renew
from jobrunner.store.locks import MOST_WAITING, break_lock, read_lock, read_locks, wake_free_locks
from jobrunner.store.rescue import find_orphans
from tests.store.factories import A_LOCK, A_WAITED_LOCK, LONG_AGO, QUEUES, Store

OTHER = replace(A_LOCK, name="other")
TWO_SLOTS = replace(A_WAITED_LOCK, slots=2)


def end_lock(store: Store, job_id: str) -> None:
    """As if the holder had not renewed its lock for the TTL."""
    store.command("ZADD", store.keys.lock("report"), LONG_AGO, job_id)
    store.command("ZADD", store.keys.locks(), LONG_AGO, "report")


def test_a_held_lock_tells_holder_token_and_who_waits(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK, task="backup")
    first, second = store.blocked(), store.blocked()

    record = store.run(read_lock(store.keys, "report"))

    (holder,) = record.holders
    assert (holder.job_id, holder.task, holder.worker) == (entry.job_id, "backup", "w1")
    assert str(holder.token) == store.record(entry.job_id)["lock_token"]
    assert holder.since == store.job(entry.job_id).started_at
    assert record.waiting == [first, second]


def test_a_long_line_is_counted_and_only_its_head_is_read_with_the_list(store: Store) -> None:
    store.add_worker()
    store.running(lock=A_LOCK)
    names = [f"job{number:04}" for number in range(MOST_WAITING + 5)]
    for number, name in enumerate(names):
        store.command("ZADD", store.keys.lock_waiting("report"), number, name)

    [record] = store.run(read_locks(store.keys))

    assert (record.waiting, record.waiting_count) == (names[:MOST_WAITING], len(names))
    assert store.run(read_lock(store.keys, "report")).waiting == names
    store.command("DEL", store.keys.lock_waiting("report"))


def test_locks_are_listed_by_name(store: Store) -> None:
    store.add_worker()
    report = store.running(lock=A_LOCK)
    other = store.running(lock=OTHER)
    store.blocked()

    records = store.run(read_locks(store.keys))

    assert [(r.name, [h.job_id for h in r.holders], len(r.waiting)) for r in records] == [
        ("other", [other.job_id], 0),
        ("report", [report.job_id], 1),
    ]


def test_a_free_lock_is_not_listed(store: Store) -> None:
    store.add_worker()
    store.finish(store.running(lock=A_LOCK), lock=A_LOCK)

    assert store.run(read_locks(store.keys)) == []
    assert store.run(read_lock(store.keys, "report")).holders == []


def test_the_first_waiter_of_a_vanished_holder_is_woken(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    first, second = store.blocked(), store.blocked()
    end_lock(store, holder.job_id)

    assert store.run(wake_free_locks(store.keys)) == 1

    assert store.state(first) is JobState.QUEUED
    assert store.state(second) is JobState.BLOCKED
    assert store.run(wake_free_locks(store.keys)) == 0  # it is on its way


def test_a_lock_that_is_held_wakes_nobody(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    waiter = store.blocked()
    store.command("ZADD", store.keys.locks(), LONG_AGO, "report")

    assert store.run(wake_free_locks(store.keys)) == 0
    assert store.state(waiter) is JobState.BLOCKED
    assert store.holders() == [holder.job_id]


def test_a_waiter_takes_the_slot_of_a_vanished_holder_while_another_goes_on(store: Store) -> None:
    store.add_worker()
    vanished, holder = store.running(lock=TWO_SLOTS), store.running(lock=TWO_SLOTS)
    first, second = store.blocked(lock=TWO_SLOTS), store.blocked(lock=TWO_SLOTS)
    end_lock(store, vanished.job_id)

    assert store.run(wake_free_locks(store.keys)) == 1

    (entry,) = store.claim()
    assert entry.job_id == first
    assert store.start(entry, lock=TWO_SLOTS)[0] is StartedAs.STARTED
    assert store.state(second) is JobState.BLOCKED
    assert set(store.holders()) == {holder.job_id, first}


def test_the_renewal_of_one_holder_does_not_hide_that_another_vanished(store: Store) -> None:
    store.add_worker()
    vanished, holder = store.running(lock=TWO_SLOTS), store.running(lock=TWO_SLOTS)
    waiter = store.blocked(lock=TWO_SLOTS)
    end_lock(store, vanished.job_id)
    token = store.record(holder.job_id)["lock_token"]

    lease = LockLease("report", holder.job_id, token, 60_000)
    store.run(renew(store.keys, "w1", [lease], groups=b"[]", busy=1))

    assert store.run(wake_free_locks(store.keys)) == 1
    assert store.state(waiter) is JobState.QUEUED


def test_who_comes_upon_a_free_slot_out_of_turn_wakes_whose_turn_it_is(store: Store) -> None:
    store.add_worker()
    vanished, _ = store.running(lock=TWO_SLOTS), store.running(lock=TWO_SLOTS)
    waiter = store.blocked(lock=TWO_SLOTS)
    end_lock(store, vanished.job_id)

    late = store.blocked(lock=TWO_SLOTS)

    store.run(promote_due(store.keys))
    assert store.state(waiter) is JobState.QUEUED
    assert store.state(late) is JobState.BLOCKED


def test_a_lock_is_not_taken_from_a_worker_that_may_still_renew(store: Store) -> None:
    # As after the store's clock was set forward: leases of workers and locks have all ended.
    store.add_worker("w1")
    holder = store.running("w1", lock=A_LOCK)
    store.add_worker("w2")
    end_lock(store, holder.job_id)
    store.end_lease("w1")

    entry = store.claimed("w2")

    assert store.start(entry, "w2", lock=A_LOCK) == (StartedAs.LOCKED, holder.job_id)
    store.run(find_orphans(store.keys, QUEUES))
    assert store.start(entry, "w2", lock=A_LOCK)[0] is StartedAs.STARTED


def test_a_lock_without_holder_and_waiters_is_forgotten(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    end_lock(store, entry.job_id)

    store.run(wake_free_locks(store.keys))

    assert store.command("ZCARD", store.keys.locks()) == 0


def test_a_waiter_that_ended_elsewhere_does_not_hold_up_the_line(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    ended, waiter = store.blocked(), store.blocked()
    store.run(cancel(store.keys, ended))
    store.command("ZADD", store.keys.lock_waiting("report"), 0, ended)
    end_lock(store, holder.job_id)

    woken = [store.run(wake_free_locks(store.keys)) for _ in range(2)]

    assert sum(woken) == 1
    assert store.state(waiter) is JobState.QUEUED


def test_a_broken_lock_goes_to_the_next_in_line(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    waiter = store.blocked()

    assert store.run(break_lock(store.keys, "report")) == [holder.job_id]

    (entry,) = store.claim()
    assert entry.job_id == waiter
    assert store.start(entry, lock=A_WAITED_LOCK)[0] is StartedAs.STARTED
    assert store.state(holder.job_id) is JobState.RUNNING  # its worker stops it


def test_the_job_of_a_broken_lock_does_not_free_it_for_others(store: Store) -> None:
    store.add_worker()
    first = store.running(lock=A_LOCK)
    store.run(break_lock(store.keys, "report"))
    second = store.running(lock=A_LOCK)

    store.finish(first, JobState.FAILED, lock=A_LOCK)

    assert store.holders() == [second.job_id]


def test_breaking_a_free_lock_does_nothing(store: Store) -> None:
    assert store.run(break_lock(store.keys, "report")) == []


def test_a_lock_that_is_held_is_looked_at_again_when_its_time_is_up(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    store.command("ZADD", store.keys.locks(), LONG_AGO, "report")

    store.run(wake_free_locks(store.keys))

    ends_at = store.command("ZSCORE", store.keys.lock("report"), holder.job_id)
    assert store.command("ZSCORE", store.keys.locks(), "report") == ends_at


def test_a_token_of_thousands_of_digits_is_read_as_none(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    store.command("HSET", store.keys.job(entry.job_id), "lock_token", "9" * 5000)

    [holder] = store.run(read_lock(store.keys, "report")).holders

    assert holder.token == 0
    store.command("HSET", store.keys.job(entry.job_id), "lock_token", 1)

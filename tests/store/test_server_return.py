"""A server that was away comes back: what ended meanwhile says nothing of its holders."""

from datetime import timedelta

import pytest

from jobrunner.store.attempts import StartedAs
from jobrunner.store.locks import wake_free_locks
from jobrunner.store.parking import BELIEVED_FOR, is_known, know
from jobrunner.store.rescue import Orphan, find_orphans
from tests.store.factories import A_LOCK, A_WAITED_LOCK, QUEUES, Store, mend_all

W1 = Orphan("w1", "default", "normal")
LEASE = timedelta(seconds=15)


def orphans(store: Store) -> list[Orphan]:
    return store.run(find_orphans(store.keys, QUEUES, after_return=LEASE))


def restart(store: Store) -> None:
    """As if the server were another run than the one that was noted."""
    orphans(store)
    store.command("HSET", store.keys.server(), "run_id", "before")


def pass_a_lease(store: Store) -> None:
    """As if the server had been back for as long as a lease lasts."""
    since = int(store.command("HGET", store.keys.server(), "since"))
    store.command("HSET", store.keys.server(), "since", since - 15_001)


def end_lock(store: Store, name: str, job_id: str) -> None:
    store.command("ZADD", store.keys.lock(name), 1, job_id)
    store.command("ZADD", store.keys.locks(), 1, name)


def test_a_lease_that_ended_while_the_server_was_away_ends_a_lease_after_its_return(
    store: Store,
) -> None:
    store.add_worker()
    store.claimed()
    restart(store)
    store.end_lease("w1")

    assert orphans(store) == []
    assert orphans(store) == []
    assert store.command("ZSCORE", store.keys.workers(), "w1")
    pass_a_lease(store)
    assert orphans(store) == [W1]


def test_a_worker_that_is_known_to_be_dead_is_not_waited_for(store: Store) -> None:
    store.add_worker()
    store.claimed()
    restart(store)

    found = store.run(find_orphans(store.keys, QUEUES, "w1", after_return=LEASE))

    assert found == [W1]


def test_a_lock_that_ended_while_the_server_was_away_stays_its_holders(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_LOCK)
    other = store.claimed()
    restart(store)
    end_lock(store, "report", holder.job_id)

    first = store.start(other, lock=A_LOCK)
    pass_a_lease(store)
    second = store.start(other, lock=A_LOCK)

    assert first == (StartedAs.LOCKED, holder.job_id)
    assert second[0] is StartedAs.STARTED
    assert store.holders() == [other.job_id]


def test_who_waits_for_such_a_lock_is_woken_a_lease_after_the_return(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()
    restart(store)
    end_lock(store, "report", holder.job_id)

    assert store.run(wake_free_locks(store.keys)) == 0
    assert store.holders(A_WAITED_LOCK) == [holder.job_id]
    pass_a_lease(store)
    assert store.run(wake_free_locks(store.keys)) == 1
    assert store.entry_of(waiter)


def test_a_task_is_taken_for_known_until_daemons_could_say_so_again(store: Store) -> None:
    assert not store.run(is_known(store.keys, "gone"))
    store.run(know(store.keys, "d1", ["demo"]))
    restart(store)

    assert store.run(is_known(store.keys, "gone"))
    pass_a_lease(store)
    assert store.run(is_known(store.keys, "gone"))
    since = store.now_ms() - BELIEVED_FOR // timedelta(milliseconds=1)
    store.command("HSET", store.keys.server(), "since", since)
    assert not store.run(is_known(store.keys, "gone"))


def test_the_first_run_that_is_noted_is_no_return(store: Store) -> None:
    store.add_worker()
    store.claimed()
    store.end_lease("w1")

    assert orphans(store) == [W1]


@pytest.mark.parametrize("since", ["", "nan", "soon", 10**15])
def test_a_return_at_no_instant_counts_from_now(store: Store, since: str | int) -> None:
    orphans(store)
    store.add_worker()
    store.claimed()
    store.end_lease("w1")
    store.command("HSET", store.keys.server(), "since", since)

    assert orphans(store) == []
    assert store.now_ms() - int(store.command("HGET", store.keys.server(), "since")) < 10_000
    pass_a_lease(store)
    assert orphans(store) == [W1]


def test_a_damaged_note_leaves_leases_to_the_clock(store: Store) -> None:
    store.add_worker()
    store.claimed()
    store.end_lease("w1")
    store.command("SET", store.keys.server(), "x")

    assert orphans(store) == [W1]
    assert not store.run(is_known(store.keys, "gone"))
    mend_all(store)

"""`enlist.lua`, `renew.lua`: who is alive, and whose locks."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from jobrunner.clock import to_ms
from jobrunner.store.attempts import requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.leases import (
    DaemonEntry,
    LockLease,
    Renewal,
    announce,
    enlist,
    note_stopping,
    read_daemons,
    read_worker,
    read_workers,
    renew,
    resign,
    withdraw,
)
from jobrunner.store.locks import break_lock
from jobrunner.store.rescue import find_orphans
from tests.store.factories import A_LOCK, LONG_AGO, QUEUES, Store, a_worker

DAEMON = DaemonEntry(
    id="d1",
    host="host",
    pid=1,
    version="0.1.0",
    manifest="/etc/jobs.yaml",
    started_at=datetime(2026, 11, 21, tzinfo=UTC),
    generation=2,
    state="running",
)


def renew_worker(store: Store, *locks: LockLease, worker: str = "w1") -> Renewal:
    return store.run(renew(store.keys, worker, locks, groups=b"[[7,1.5]]", busy=3))


def lease_end(store: Store, worker: str = "w1") -> int:
    found = store.run(read_worker(store.keys, worker))
    assert found is not None
    assert found.lease_ends_at is not None
    return to_ms(found.lease_ends_at)


def lock_lease(store: Store, job_id: str) -> LockLease:
    return LockLease("report", job_id, store.record(job_id)["lock_token"], 60_000)


def test_an_enlisted_worker_is_known_with_its_lease(store: Store) -> None:
    before = store.now_ms()
    store.run(enlist(store.keys, a_worker(), timedelta(seconds=15)))

    (worker,) = store.run(read_workers(store.keys))

    assert worker == replace(a_worker(), lease_ends_at=worker.lease_ends_at)
    assert before + 15_000 <= lease_end(store) <= store.now_ms() + 15_000


def test_a_renewal_moves_the_lease_and_notes_what_the_worker_runs(store: Store) -> None:
    store.add_worker()
    store.end_lease("w1")
    store.command("PEXPIRE", store.keys.worker("w1"), 10_000)

    assert renew_worker(store) == Renewal(True, [], [])

    worker = store.run(read_worker(store.keys, "w1"))
    assert worker is not None
    assert (worker.busy, worker.groups) == (3, "[[7,1.5]]")
    assert lease_end(store) > store.now_ms()
    assert store.command("PTTL", store.keys.worker("w1")) > 10_000


def test_a_worker_that_was_buried_cannot_renew(store: Store) -> None:
    store.add_worker()
    store.end_lease("w1")
    store.run(find_orphans(store.keys, QUEUES))
    before = store.snapshot()

    assert renew_worker(store) == Renewal(False, [], [])
    assert store.snapshot() == before


def test_a_worker_that_never_enlisted_cannot_renew(store: Store) -> None:
    assert renew_worker(store).is_alive is False


def test_a_worker_that_resigned_has_no_lease(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")

    store.run(resign(store.keys, "w1"))

    assert [worker.id for worker in store.run(read_workers(store.keys))] == ["w2"]
    assert renew_worker(store).is_alive is False
    buried = store.run(read_worker(store.keys, "w1"))
    assert buried is not None
    assert buried.lease_ends_at is None


def test_a_stop_is_noted_of_workers_that_have_a_lease_and_stays_noted(store: Store) -> None:
    for worker in ("w1", "w2", "w3"):
        store.add_worker(worker)
    store.end_lease("w3")
    store.run(find_orphans(store.keys, QUEUES))

    assert store.run(note_stopping(store.keys, ["w1", "w3", "unknown"])) == 1
    since = ("HGET", store.keys.worker("w1"), "stopping_since")
    store.command("HSET", store.keys.worker("w1"), "stopping_since", int(store.command(*since)) - 9)
    noted_at = store.command(*since)
    assert store.run(note_stopping(store.keys, ["w1"])) == 0
    assert store.command(*since) == noted_at

    renew_worker(store)
    found = {w: store.run(read_worker(store.keys, w)) for w in ("w1", "w2", "w3")}
    assert {w: entry.is_stopping for w, entry in found.items() if entry} == {
        "w1": True,
        "w2": False,
        "w3": False,  # it died before the stop
    }
    assert store.run(read_worker(store.keys, "unknown")) is None


def test_a_damaged_worker_does_not_keep_others_from_being_noted(store: Store) -> None:
    for worker in ("w1", "w2"):
        store.add_worker(worker)
    store.command("DEL", store.keys.worker("w1"))
    store.command("SET", store.keys.worker("w1"), "text")

    assert store.run(note_stopping(store.keys, ["w1", "w2"])) == 1

    noted = store.run(read_worker(store.keys, "w2"))
    assert noted is not None
    assert noted.is_stopping
    store.command("DEL", store.keys.worker("w1"))


def test_an_unknown_worker_is_none(store: Store) -> None:
    assert store.run(read_worker(store.keys, "w1")) is None
    assert store.run(read_workers(store.keys)) == []


def test_the_locks_of_running_jobs_are_renewed(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    store.command("ZADD", store.keys.lock("report"), store.now_ms() + 50, entry.job_id)
    store.command("ZADD", store.keys.locks(), LONG_AGO, "report")

    renewal = renew_worker(store, lock_lease(store, entry.job_id))

    assert renewal.lost_locks == []
    end = int(store.command("ZSCORE", store.keys.lock("report"), entry.job_id))
    assert end >= store.now_ms() + 59_000
    assert int(store.command("ZSCORE", store.keys.locks(), "report")) == end


def test_a_full_server_renews_a_lease_and_its_locks(store: Store) -> None:
    store.add_worker()
    store.end_lease("w1")
    entry = store.running(lock=A_LOCK)
    lease = lock_lease(store, entry.job_id)

    store.command("CONFIG", "SET", "maxmemory", "1")
    try:
        renewal = renew_worker(store, lease)
    finally:
        store.command("CONFIG", "SET", "maxmemory", "0")

    assert renewal == Renewal(True, [], [])
    assert lease_end(store) > store.now_ms()


def test_a_broken_lock_is_not_renewed_and_its_job_is_named(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    lease = lock_lease(store, entry.job_id)
    store.run(break_lock(store.keys, "report"))

    assert renew_worker(store, lease).lost_locks == [entry.job_id]
    assert store.holders() == []


def test_a_lock_is_not_renewed_under_an_old_token(store: Store) -> None:
    store.add_worker("w1")
    store.add_worker("w2")
    entry = store.running("w1", lock=A_LOCK)
    old = lock_lease(store, entry.job_id)
    store.run(requeue(store.keys, [entry], is_lost=True))
    (again,) = store.claim("w2")
    store.start(again, "w2", A_LOCK)

    assert renew_worker(store, old).lost_locks == [entry.job_id]
    assert renew_worker(store, lock_lease(store, entry.job_id), worker="w2").lost_locks == []


def test_several_locks_are_renewed_each_by_itself(store: Store) -> None:
    store.add_worker()
    kept = store.running(lock=A_LOCK)
    other = replace(A_LOCK, name="other")
    lost = store.running(lock=other)
    leases = [
        LockLease("other", lost.job_id, store.record(lost.job_id)["lock_token"], 60_000),
        lock_lease(store, kept.job_id),
    ]
    store.run(break_lock(store.keys, "other"))

    assert renew_worker(store, *leases).lost_locks == [lost.job_id]


def test_a_renewal_brings_every_unanswered_cancel(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.run(cancel(store.keys, entry.job_id))

    assert renew_worker(store).to_cancel == [entry.job_id]
    store.finish(entry)
    assert renew_worker(store).to_cancel == []


def test_a_daemon_is_announced_and_withdrawn(store: Store) -> None:
    store.run(announce(store.keys, DAEMON))
    assert store.run(read_daemons(store.keys)) == [DAEMON]

    store.run(withdraw(store.keys, "d1"))
    assert store.run(read_daemons(store.keys)) == []


def test_a_daemon_that_died_is_forgotten(store: Store) -> None:
    store.run(announce(store.keys, DAEMON))
    store.command("DEL", store.keys.daemon("d1"))

    assert store.run(read_daemons(store.keys)) == []
    assert store.command("ZCARD", store.keys.daemons()) == 0


@pytest.mark.parametrize("ttl", [timedelta(seconds=15)])
def test_a_daemons_hash_ends_with_its_lease(store: Store, ttl: timedelta) -> None:
    store.run(announce(store.keys, DAEMON, ttl))

    assert 14_000 < store.command("PTTL", store.keys.daemon("d1")) <= 15_000


# Renewals by the supervisor.


def test_a_renewal_for_a_worker_leaves_what_it_told_of_itself(store: Store) -> None:
    store.add_worker()
    renew_worker(store)
    store.command("ZADD", store.keys.workers(), LONG_AGO, "w1")

    assert store.run(renew(store.keys, "w1", [])).is_alive

    worker = store.run(read_worker(store.keys, "w1"))
    assert worker is not None
    assert (worker.groups, worker.busy) == ("[[7,1.5]]", 3)
    assert lease_end(store) > store.now_ms()


def test_a_renewal_for_a_worker_extends_nothing_that_was_taken_back(store: Store) -> None:
    store.add_worker()
    job_id = store.running(lock=A_LOCK).job_id
    lease = lock_lease(store, job_id)
    store.command("ZREM", store.keys.workers(), "w1")
    before = store.command("ZSCORE", store.keys.lock("report"), job_id)

    assert not store.run(renew(store.keys, "w1", [lease])).is_alive

    assert store.command("ZSCORE", store.keys.workers(), "w1") is None
    assert store.command("ZSCORE", store.keys.lock("report"), job_id) == before


def test_a_renewal_for_a_worker_gives_no_lock_to_a_stale_token(store: Store) -> None:
    store.add_worker()
    job_id = store.running(lock=A_LOCK).job_id
    stale = replace(lock_lease(store, job_id), token="0")
    before = store.command("ZSCORE", store.keys.lock("report"), job_id)

    renewal = store.run(renew(store.keys, "w1", [stale]))

    assert renewal.lost_locks == [job_id]
    assert store.command("ZSCORE", store.keys.lock("report"), job_id) == before


def test_a_damaged_key_of_a_daemon_does_not_tell_that_none_runs(store: Store) -> None:
    store.run(announce(store.keys, DAEMON))
    key = store.keys.daemon("d1")
    store.command("DEL", key)
    store.command("SET", key, "x")

    [known] = store.run(read_daemons(store.keys))

    assert (known.id, known.damaged_key) == ("d1", key)
    assert store.command("ZCARD", store.keys.daemons()) == 1
    store.command("DEL", key)


def test_a_damaged_list_of_daemons_does_not_tell_that_none_runs(store: Store) -> None:
    store.command("SET", store.keys.daemons(), "x")

    [known] = store.run(read_daemons(store.keys))

    assert (known.id, known.damaged_key) == ("?", store.keys.daemons())
    store.command("DEL", store.keys.daemons())


@pytest.mark.parametrize("field", ["pid", "started_at", "generation", "refused"])
@pytest.mark.parametrize("value", ["nan", "9" * 5000, "-1", "1e999", ""])
def test_a_number_of_a_daemon_that_is_none_is_read_as_unknown(
    store: Store, field: str, value: str
) -> None:
    store.run(announce(store.keys, DAEMON))
    store.command("HSET", store.keys.daemon("d1"), field, value)

    [known] = store.run(read_daemons(store.keys))

    unknown = datetime(1970, 1, 1, tzinfo=UTC) if field == "started_at" else 0
    assert getattr(known, field) == unknown
    assert known.host == DAEMON.host
    store.run(withdraw(store.keys, "d1"))

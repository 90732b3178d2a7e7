"""Damaged keys: what is read of them, what an audit says, and what is left once it has mended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from jobrunner.clock import from_ms
from jobrunner.model import JobState
from jobrunner.store.attempts import Requeued, requeue
from jobrunner.store.audit import audit, mend
from jobrunner.store.audit_types import check_types
from jobrunner.store.crons import Enrolment, enrol, read_crons
from jobrunner.store.failures import DamagedKey
from jobrunner.store.keys import GROUP
from jobrunner.store.keyspace import read_keyspace
from jobrunner.store.leases import LEASE_TTL, read_workers, renew
from jobrunner.store.orphan import Kind
from jobrunner.store.published import is_published
from jobrunner.store.rescue import find_orphans, known_queues
from jobrunner.store.rewinding import read_far_off, rewind
from tests.store.factories import A_LOCK, QUEUES, Store, mend_all

YEAR_MS = 365 * 86_400_000
DAY_MS = 86_400_000


def kinds(store: Store) -> list[tuple[Kind, str]]:
    return [(orphan.kind, orphan.key) for orphan in store.run(audit(store.keys))]


# Keys of another type.


def test_a_key_of_another_type_that_tells_what_others_tell_is_deleted_and_made_anew(
    store: Store,
) -> None:
    store.add_worker()
    job_id, waiting = store.finished(), store.submit()
    for key in (store.keys.done("completed"), store.keys.counts(), store.keys.queues()):
        store.command("DEL", key)
        store.command("SET", key, "x")

    mend_all(store)

    assert store.texts("ZRANGE", store.keys.done("completed"), 0, -1) == [job_id]
    assert store.command("HGET", store.keys.counts(), "queued:demo") == b"1"
    assert "default" in store.texts("SMEMBERS", store.keys.queues())
    assert [entry.job_id for entry in store.claim()] == [waiting]


def test_a_key_that_nobody_can_make_anew_is_kept_aside(store: Store) -> None:
    key = store.keys.queue("default", "normal")
    store.command("SET", key, "precious")

    store.run(mend(store.keys, store.run(audit(store.keys))))

    aside = store.keys.aside(key)
    assert store.command("GET", aside) == b"precious"
    assert 0 < store.command("TTL", aside) <= 30 * 86_400
    assert kinds(store) == []


def test_a_key_that_came_right_by_itself_is_left_alone(store: Store) -> None:
    key = store.keys.tally()
    store.command("SET", key, "x")
    orphans = store.run(audit(store.keys))
    store.command("DEL", key)
    store.command("RPUSH", key, "1 completed t")

    assert store.run(mend(store.keys, orphans)) == []
    assert store.command("LLEN", key) == 1


def test_leases_that_are_lost_are_no_burial(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.command("DEL", store.keys.workers())
    store.command("SET", store.keys.workers(), "x")

    assert store.run(renew(store.keys, "w1", [])).is_alive
    queues, _ = store.run(known_queues(store.keys))
    assert store.run(find_orphans(store.keys, queues)) == []

    [worker] = store.run(read_workers(store.keys))
    assert worker.lease_ends_at is not None
    assert worker.lease_ends_at > from_ms(store.now_ms())
    store.finish(entry)


def test_leases_that_are_lost_are_given_for_as_long_as_a_lease_lasts(store: Store) -> None:
    store.add_worker()
    entry = store.running()
    store.command("DEL", store.keys.workers())
    store.command("SET", store.keys.workers(), "x")

    assert store.run(find_orphans(store.keys, QUEUES, after_return=timedelta(0))) == []

    end = int(store.command("ZSCORE", store.keys.workers(), "w1"))
    assert end > store.now_ms() + LEASE_TTL // timedelta(milliseconds=2)
    store.finish(entry)


@contextmanager
def exhausted(store: Store, entry_id: str) -> Iterator[None]:
    """The queue, whose last entry this is, has the last id that there is: it takes no more."""
    stream = store.keys.queue("default", "normal")
    store.command("XSETID", stream, f"{2**64 - 1}-{2**64 - 1}")
    yield
    store.command("XSETID", stream, entry_id)


def test_a_job_keeps_its_entry_while_its_queue_takes_no_more(store: Store) -> None:
    store.add_worker()
    entry = store.running()

    with exhausted(store, entry.entry_id):
        assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.STALE]

        assert store.state(entry.job_id) is JobState.RUNNING
        assert store.command("XPENDING", store.keys.queue("default", "normal"), GROUP)[0] == 1

    assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.QUEUED]


def test_a_submit_to_a_queue_that_takes_no_more_leaves_its_key_free(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()

    with exhausted(store, entry.entry_id), pytest.raises(DamagedKey):
        store.submit(key="mine")

    assert store.state(store.submit(key="mine")) is JobState.QUEUED


def test_a_lock_that_cannot_be_recorded_is_given_to_nobody(store: Store) -> None:
    store.add_worker()
    store.command("SET", store.keys.lock(A_LOCK.name), "x")
    entry = store.claimed()

    what, _ = store.start(entry, lock=A_LOCK)

    assert what == "damaged"
    assert store.state(entry.job_id) is JobState.QUEUED
    mend_all(store)
    assert store.start(entry, lock=A_LOCK)[0] == "started"


def test_a_counter_of_tokens_that_is_none_goes_on_from_a_greater_number(store: Store) -> None:
    store.add_worker()
    _, before = store.start(store.claimed(), lock=A_LOCK)
    store.command("SET", store.keys.tokens(), "x")

    store.command("DEL", store.keys.lock(A_LOCK.name))
    _, after = store.start(store.claimed(), lock=A_LOCK)

    assert int(after) > int(before)
    mend_all(store)


def test_a_key_of_another_family_of_types_is_found_in_one_pass(store: Store) -> None:
    store.command("SADD", store.keys.job("x"), "1")

    [found] = check_types(store.run(read_keyspace(store.keys)))

    assert (found.kind, found.key) == (Kind.WRONG_TYPE, store.keys.job("x"))
    assert found.detail == "is a set, not a hash"
    mend_all(store)


# Values.


def strange_member(store: Store) -> str:
    store.command("ZADD", store.keys.scheduled(), 1, b"\xff")
    return store.keys.scheduled()


def endless_score(store: Store) -> str:
    store.command("ZADD", store.keys.scheduled(), "inf", store.submit(delay=None))
    return store.keys.scheduled()


def strange_queue(store: Store) -> str:
    store.command("SADD", store.keys.queues(), b"\xff")
    return store.keys.queues()


def strange_item(store: Store) -> str:
    store.command("RPUSH", store.keys.tally(), "x")
    return store.keys.tally()


def strange_field(store: Store) -> str:
    store.command("HSET", store.keys.cron("nightly"), "handled", "nan")
    return store.keys.cron("nightly")


def strange_number_of_a_record(store: Store) -> str:
    job_id = store.submit()
    store.command("HSET", store.keys.job(job_id), "fence", "x", "created_at", "9" * 30)
    return store.keys.job(job_id)


@pytest.mark.parametrize(
    "inflict",
    [
        *(strange_member, endless_score, strange_queue, strange_item, strange_field),
        strange_number_of_a_record,
    ],
)
def test_what_cannot_be_read_is_named_and_taken_out(
    store: Store, inflict: Callable[[Store], str]
) -> None:
    key = inflict(store)

    assert (Kind.DAMAGED, key) in kinds(store)
    mend_all(store)

    assert kinds(store) == []


def test_a_damaged_manifest_is_published_anew(store: Store) -> None:
    key = store.keys.manifest()
    store.command("HSET", key, "digest", "1", "task:backup", "{")

    mend_all(store)

    assert store.command("HEXISTS", key, "task:backup") == 0
    assert not store.run(is_published(store.keys))


def test_an_absurd_lease_of_a_worker_ends_as_if_renewed_now(store: Store) -> None:
    store.add_worker()
    store.command("ZADD", store.keys.workers(), "1e300", "w1")

    mend_all(store)

    [worker] = store.run(read_workers(store.keys))
    assert worker.lease_ends_at is not None
    assert worker.lease_ends_at <= from_ms(store.now_ms() + 20_000)


def test_a_watcher_that_is_none_stops_no_end(store: Store) -> None:
    store.add_worker()
    entry = store.claimed()
    store.command("SADD", store.keys.watchers(entry.job_id), b"", b"\xff")

    store.finish(entry)

    assert store.state(entry.job_id) is JobState.COMPLETED


def test_an_entry_with_a_lock_and_no_record_leaves_the_queue(store: Store) -> None:
    store.add_worker()
    store.command("XADD", store.keys.queue("default", "normal"), "*", "id", "x", "m", '["demo",{}]')
    [entry] = store.claim()

    assert store.start(entry, lock=A_LOCK)[0] == "stale"

    assert store.entries() == {}
    assert store.command("XPENDING", store.keys.queue("default", "normal"), GROUP)[0] == 0


# What a clock that was ahead has left.


def test_a_cron_that_was_handled_ahead_is_named_and_set_back(store: Store) -> None:
    store.run(enrol(store.keys, [Enrolment("nightly", "s")]))
    key = store.keys.cron("nightly")
    ahead = store.now_ms() + YEAR_MS
    store.command("HSET", key, "handled", ahead, "since", ahead - 1000)

    assert kinds(store) == [(Kind.AHEAD, key)]
    mend_all(store)

    [record] = store.run(read_crons(store.keys, ["nightly"]))
    assert record.handled is not None
    assert record.handled <= from_ms(store.now_ms())
    assert kinds(store) == []


def test_ends_in_the_future_are_set_back_to_now(store: Store) -> None:
    store.add_worker()
    job_id = store.finished()
    ahead = store.now_ms() + YEAR_MS
    indexes = (store.keys.done("completed"), store.keys.task_done("demo"))
    for index in indexes:
        store.command("ZADD", index, ahead, job_id)

    assert store.run(rewind(store.keys)) == 1

    for index in indexes:
        assert int(store.command("ZSCORE", index, job_id)) <= store.now_ms()
    assert store.run(rewind(store.keys)) == 0


def test_a_retry_whose_delay_a_clock_that_was_ahead_has_set_waits_for_its_delay_only(
    store: Store,
) -> None:
    store.add_worker()
    job_id, key = store.retrying(), store.keys.job
    ahead = store.now_ms() + YEAR_MS
    store.command("HSET", key(job_id), "started_at", ahead, "due_at", ahead + 60_000)
    store.command("ZADD", store.keys.scheduled(), ahead + 60_000, job_id)

    store.run(rewind(store.keys))

    due = int(store.command("ZSCORE", store.keys.scheduled(), job_id))
    assert 50_000 < due - store.now_ms() <= 60_000
    assert store.job(job_id).due_at == from_ms(due)


def test_a_delayed_job_that_has_not_begun_is_left_at_its_time(store: Store) -> None:
    job_id = store.submit()
    store.command("DEL", store.keys.queue("default", "normal"))
    ahead = store.now_ms() + YEAR_MS
    store.command("HSET", store.keys.job(job_id), "state", "scheduled", "due_at", ahead)
    store.command("ZADD", store.keys.scheduled(), ahead, job_id)

    assert store.run(rewind(store.keys)) == 0
    mend_all(store)


def test_leases_in_the_future_end_as_if_renewed_now(store: Store) -> None:
    store.add_worker()
    entry = store.running(lock=A_LOCK)
    ahead = store.now_ms() + YEAR_MS
    store.command("ZADD", store.keys.lock(A_LOCK.name), ahead, entry.job_id)
    store.command("ZADD", store.keys.locks(), ahead, A_LOCK.name)
    store.command("ZADD", store.keys.workers(), ahead, "w1")

    store.run(rewind(store.keys))
    store.run(find_orphans(store.keys, QUEUES))

    end = int(store.command("ZSCORE", store.keys.lock(A_LOCK.name), entry.job_id))
    assert end <= store.now_ms() + A_LOCK.ttl_ms
    assert int(store.command("ZSCORE", store.keys.workers(), "w1")) <= store.now_ms() + 20_000
    store.finish(entry, lock=A_LOCK)


def test_a_lease_that_is_long_on_purpose_is_left_alone(store: Store) -> None:
    store.add_worker()
    ends_at = store.now_ms() + 600_000
    store.command("ZADD", store.keys.workers(), ends_at, "w1")

    store.run(find_orphans(store.keys, QUEUES, lease=timedelta(minutes=10)))

    assert int(store.command("ZSCORE", store.keys.workers(), "w1")) == ends_at


def test_a_job_that_is_due_absurdly_late_is_told_by_doctor(store: Store) -> None:
    job_id = store.submit(delay=timedelta(days=400))
    store.submit(delay=timedelta(days=300))

    assert store.run(read_far_off(store.keys)) == [job_id]

"""`know.lua`, `park.lua`, `unpark.lua`: jobs that wait for a worker that knows their task."""

import pytest

from jobrunner.model import JobState, Reason
from jobrunner.store.attempts import Entry
from jobrunner.store.cancelling import cancel
from jobrunner.store.due import promote_due
from jobrunner.store.parking import (
    BELIEVED_FOR,
    FIRST_DELAY_MS,
    LONGEST_DELAY_MS,
    Parked,
    is_known,
    know,
    park,
    wake_parked,
)
from jobrunner.store.requests import Script
from tests.store.factories import LONG_AGO, Store, check_indexes


def knows(store: Store, task: str) -> bool:
    return store.run(is_known(store.keys, task))


def put_aside(store: Store, entry: Entry) -> Parked:
    return store.run(park(store.keys, entry, "new"))


def parked(store: Store, task: str = "new") -> str:
    entry = store.claimed(task=task)
    assert put_aside(store, entry) is Parked.PARKED
    return entry.job_id


def delay_ms(store: Store, job_id: str) -> int:
    return int(store.record(job_id)["due_at"]) - store.now_ms()


def claimed_again(store: Store, job_id: str) -> Entry:
    store.make_due(job_id)
    store.run(promote_due(store.keys))
    (entry,) = store.claim()
    return entry


# Who knows what.


def test_a_task_is_known_when_one_daemon_knows_it(store: Store) -> None:
    assert not knows(store, "new")

    store.run(know(store.keys, "old", ["act"]))
    store.run(know(store.keys, "young", ["act", "new"]))

    assert knows(store, "new")
    assert knows(store, "act")
    assert not knows(store, "other")


def test_what_a_daemon_dropped_is_not_known_any_more(store: Store) -> None:
    store.run(know(store.keys, "d1", ["act", "new"]))

    store.run(know(store.keys, "d1", ["act"]))

    assert not knows(store, "new")


def test_a_daemon_is_believed_for_a_minute_after_its_last_beat(store: Store) -> None:
    store.run(know(store.keys, "d1", ["new"]))
    left = store.command("PTTL", store.keys.known_tasks("d1"))
    assert 0 <= BELIEVED_FOR.total_seconds() * 1000 - left < 1000

    store.command("PEXPIRE", store.keys.known_tasks("d1"), 0)

    assert not knows(store, "new")


def test_daemons_that_are_long_gone_are_forgotten(store: Store) -> None:
    store.run(know(store.keys, "gone", ["new"]))
    store.command("ZADD", store.keys.knowers(), 1, "gone")

    store.run(know(store.keys, "d1", []))

    assert store.texts("ZRANGE", store.keys.knowers(), 0, -1) == ["d1"]


# Putting jobs aside.


def test_a_parked_job_waits_with_its_reason_and_its_attempt_does_not_count(store: Store) -> None:
    store.add_worker()

    job = store.job(parked(store))

    assert (job.state, job.reason, job.attempt) == (JobState.SCHEDULED, Reason.UNKNOWN_TASK, 0)
    assert job.detail == "waits for a daemon that knows task 'new'"
    assert store.entries() == {}
    check_indexes(store)


def test_the_delay_doubles_up_to_its_limit(store: Store) -> None:
    store.add_worker()
    job_id = parked(store)
    delays = [delay_ms(store, job_id)]

    for _ in range(6):
        put_aside(store, claimed_again(store, job_id))
        delays.append(delay_ms(store, job_id))

    expected = [min(FIRST_DELAY_MS * 2**times, LONGEST_DELAY_MS) for times in range(7)]
    assert delays == pytest.approx(expected, abs=200)


def test_a_job_that_was_parked_ends_as_if_it_had_not_been(store: Store) -> None:
    store.add_worker()
    job_id = parked(store)

    entry = claimed_again(store, job_id)
    queued = store.job(job_id)
    store.finish(entry, task="new")

    assert (queued.state, queued.reason, queued.detail) == (JobState.QUEUED, None, None)
    ended = store.job(job_id)
    assert (ended.state, ended.reason, ended.detail) == (JobState.COMPLETED, None, None)
    assert ended.attempt == 1
    check_indexes(store)


def test_the_fence_grows_with_each_hand_out(store: Store) -> None:
    store.add_worker()
    entry = store.claimed(task="new")
    put_aside(store, entry)

    assert claimed_again(store, entry.job_id).fence == entry.fence + 1


def test_who_lost_a_job_cannot_park_it(store: Store) -> None:
    store.add_worker()
    entry = store.claimed(task="new")
    put_aside(store, entry)
    claimed_again(store, entry.job_id)
    before = store.record(entry.job_id)

    assert put_aside(store, entry) is Parked.STALE

    assert store.record(entry.job_id) == before
    check_indexes(store)


def test_a_job_to_be_cancelled_is_left_to_the_caller(store: Store) -> None:
    store.add_worker()
    entry = store.claimed(task="new")
    store.run(cancel(store.keys, entry.job_id))
    before = store.snapshot()

    assert put_aside(store, entry) is Parked.CANCELLING

    assert store.snapshot() == before


def test_a_parked_job_can_be_cancelled(store: Store) -> None:
    store.add_worker()
    job_id = parked(store)

    store.run(cancel(store.keys, job_id))

    assert store.state(job_id) is JobState.CANCELLED
    assert store.run(wake_parked(store.keys, ["new"])) == 0
    assert store.state(job_id) is JobState.CANCELLED
    check_indexes(store)


# Waking.


def test_who_knows_a_task_wakes_its_jobs_in_the_order_they_were_made(store: Store) -> None:
    store.add_worker()
    entries = [store.claimed(task="new") for _ in range(3)]
    for at, entry in enumerate(entries):
        store.command("HSET", store.keys.job(entry.job_id), "created_at", 1000 + at)
    for entry in reversed(entries):
        put_aside(store, entry)
    other = parked(store, task="other")
    retrying = store.retrying(task="new")

    assert store.run(wake_parked(store.keys, ["new"])) == 3

    assert [e.job_id for e in store.claim()] == [e.job_id for e in entries]
    assert store.state(other) is JobState.SCHEDULED
    assert store.state(retrying) is JobState.SCHEDULED
    check_indexes(store)


def test_a_job_that_is_parked_again_after_it_was_woken_waits_for_a_moment_only(
    store: Store,
) -> None:
    store.add_worker()
    job_id = parked(store)
    put_aside(store, claimed_again(store, job_id))
    store.run(wake_parked(store.keys, ["new"]))

    (entry,) = store.claim()
    put_aside(store, entry)

    assert delay_ms(store, job_id) <= FIRST_DELAY_MS


def unpark(store: Store, job_id: str) -> int:
    """The half of `wake_parked` that another caller may come after."""
    names = [store.keys.scheduled(), store.keys.parked(), store.keys.job(job_id)]
    return int(store.connection.execute(Script("unpark", names, [job_id])))


def test_a_job_that_was_claimed_meanwhile_is_not_due_again(store: Store) -> None:
    store.add_worker()
    entry = claimed_again(store, parked(store))

    unpark(store, entry.job_id)

    assert store.command("ZSCORE", store.keys.scheduled(), entry.job_id) is None


def test_a_job_that_is_due_already_keeps_its_place(store: Store) -> None:
    store.add_worker()
    job_id = parked(store)
    store.make_due(job_id)

    assert unpark(store, job_id) == 1

    assert int(store.command("ZSCORE", store.keys.scheduled(), job_id)) == LONG_AGO
    assert store.command("ZSCORE", store.keys.parked(), job_id) is None
    assert unpark(store, job_id) == 0


def test_who_is_due_is_parked_no_more(store: Store) -> None:
    store.add_worker()
    first = parked(store)
    store.command("ZADD", store.keys.parked(), 1, first)

    second = parked(store)

    assert store.texts("ZRANGE", store.keys.parked(), 0, -1) == [second]


def test_a_job_that_was_begun_is_not_put_aside_and_keeps_its_entry(store: Store) -> None:
    store.add_worker()
    entry = store.running(task="new")

    assert put_aside(store, entry) is Parked.STALE
    assert store.record(entry.job_id)["entry"] == entry.entry_id
    assert store.finish(entry, task="new").states == [JobState.COMPLETED]


def test_a_job_that_has_ended_is_not_put_aside(store: Store) -> None:
    store.add_worker()
    entry = store.claimed(task="new")
    store.finish(entry, task="new")

    assert put_aside(store, entry) is Parked.STALE
    assert store.state(entry.job_id) is JobState.COMPLETED

"""A server at its maxmemory: what ends jobs goes on, so that it drains; no more are made."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from jobrunner.errors import StoreFull
from jobrunner.model import JobState, Reason
from jobrunner.store.attempts import Requeued, StartedAs, requeue
from jobrunner.store.cancelling import cancel
from jobrunner.store.crons import (
    Enrolment,
    enrol,
    note_next_fires,
    pause_cron,
    read_crons,
    resume_cron,
)
from jobrunner.store.failures import ReplyError
from jobrunner.store.locks import wake_free_locks
from jobrunner.store.parking import Parked, know, park, wake_parked
from jobrunner.store.progress import note_progress
from jobrunner.store.published import Published, PublishedTask, publish, read_published_task
from jobrunner.store.room import Room, note_room, read_room
from jobrunner.store.stats import fold
from jobrunner.store.unreadable import refuse_unreadable
from jobrunner.store.watching import watch
from tests.store.factories import A_WAITED_LOCK, Store
from tests.store.fires import ONE, TWO, a_fire, send


@contextmanager
def at_the_brim(store: Store) -> Iterator[None]:
    """The server takes nothing more."""
    store.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises((StoreFull, ReplyError)):
            store.command("SET", store.keys.all(), "x")
        yield
    finally:
        store.command("CONFIG", "SET", "maxmemory", "0")


def test_queued_jobs_are_claimed_started_and_finished(store: Store) -> None:
    store.add_worker()
    first, second = store.submit(), store.submit()

    with at_the_brim(store):
        one, two = store.claim()
        assert store.start(one)[0] is StartedAs.STARTED
        assert store.run(note_progress(store.keys, first, 1, {"done": 1}))
        store.finish(one, result=b'"x"')
        store.finish(two, JobState.FAILED, reason=Reason.ERROR, retry_delay_ms=0)
        assert store.promote(second) == 1
        [again] = store.claim()
        store.finish(again)

    assert store.state(first) is store.state(second) is JobState.COMPLETED


def test_jobs_are_given_back_parked_refused_and_cancelled(store: Store) -> None:
    store.add_worker()
    store.run(know(store.keys, "d2", ["demo"]))
    entry = store.claimed()
    waiting = store.submit()
    stream = store.keys.queue("default", "normal")
    store.command("XADD", stream, "*", "odd", "1")

    with at_the_brim(store):
        store.run(cancel(store.keys, waiting))
        [odd] = store.claim_unreadable()
        store.run(refuse_unreadable(store.keys, "w1", [odd]))
        assert store.run(requeue(store.keys, [entry], is_lost=True)) == [Requeued.QUEUED]
        [again] = store.claim()
        assert store.run(park(store.keys, again, "demo")) is Parked.PARKED
        assert store.run(wake_parked(store.keys, ["demo"])) == 1
        [again] = store.claim()
        store.run(cancel(store.keys, again.job_id))

    assert store.state(waiting) is JobState.CANCELLED
    assert store.texts("LRANGE", store.keys.control("w1"), 0, -1) == [again.job_id]


def test_a_waiter_gets_its_lock(store: Store) -> None:
    store.add_worker()
    holder = store.running(lock=A_WAITED_LOCK)
    waiter = store.blocked()

    with at_the_brim(store):
        store.finish(holder, lock=A_WAITED_LOCK)
        assert store.promote(waiter) == 1
        assert store.run(wake_free_locks(store.keys)) == 0


def test_a_daemon_starts_and_its_crons_are_taken_up(store: Store) -> None:
    task = PublishedTask("demo", "command")
    with at_the_brim(store):
        store.add_worker()
        store.run(know(store.keys, "d1", ["demo"]))
        store.run(publish(store.keys, Published({"demo": task}, {})))
        store.run(enrol(store.keys, [Enrolment("tick", "* * * * *")]))
        store.run(note_next_fires(store.keys, {"tick": TWO}))
        store.run(pause_cron(store.keys, "tick"))
        [paused] = store.run(read_crons(store.keys, ["tick"]))
        store.run(resume_cron(store.keys, "tick"))

    assert paused.is_paused
    assert paused.next_fire_at == TWO
    assert store.run(read_published_task(store.keys, "demo")) == task


def test_statistics_are_folded_and_ends_are_told(store: Store) -> None:
    job_id = store.submit()
    with at_the_brim(store):
        assert store.run(watch(store.keys, [job_id], "c1")) == [JobState.QUEUED]
        assert store.run(fold(store.keys, timedelta(days=1))) > 0


def test_a_nearly_full_store_refuses_jobs_until_it_has_room(store: Store) -> None:
    known = store.submit(key="mine")
    store.run(note_room(store.keys, is_full=True))
    before = store.snapshot()

    for changes in ({}, {"after": known}, {"delay": timedelta(1)}, {"key": "other"}):
        with pytest.raises(StoreFull, match="is full"):
            store.submit(**changes)
    with pytest.raises(StoreFull):
        send(store, a_fire(ONE))
    with pytest.raises(StoreFull):
        send(store, a_fire(ONE, skip=Reason.MISFIRE, detail="1", first=ONE))

    assert store.snapshot() == before
    # What was made before is answered: a submit whose reply was lost may be repeated.
    assert store.submit(key="mine") == known
    assert store.submit(id=known) == known
    store.run(note_room(store.keys, is_full=False))
    assert store.state(store.submit()) is JobState.QUEUED
    assert send(store, a_fire(ONE)) == ["queued"]


def test_the_note_that_a_store_is_full_does_not_outlive_its_daemon(store: Store) -> None:
    assert store.run(note_room(store.keys, is_full=True))
    assert not store.run(note_room(store.keys, is_full=True))

    assert 0 < store.command("PTTL", store.keys.full()) <= 15_000


def test_a_store_is_full_from_nine_tenths_until_there_is_room_again() -> None:
    assert not Room(899, 1000).is_full(was_full=False)
    assert Room(900, 1000).is_full(was_full=False)
    assert Room(850, 1000).is_full(was_full=True)
    assert not Room(849, 1000).is_full(was_full=True)
    assert not Room(10**12, 0).is_full(was_full=False)


def test_the_room_is_what_the_server_counts(store: Store) -> None:
    room = store.run(read_room())

    assert room.used > 100_000
    assert room.most == 0

"""Damaged keys on the way of a job: they cost what depends on them, and nothing is lost."""

from datetime import timedelta

import pytest

from jobrunner.model import JobState
from jobrunner.store.attempts import ensure_groups
from jobrunner.store.audit import audit, mend
from jobrunner.store.crons import pause_cron
from jobrunner.store.failures import DamagedKey, ReplyError
from jobrunner.store.requests import Script
from jobrunner.store.rescue import find_orphans
from jobrunner.store.submission import retry_job
from tests.store.factories import QUEUES, Store, mend_all
from tests.store.fires import ONE, a_fire, send


def spoil(store: Store, key: str) -> None:
    """Something else has written there."""
    store.command("DEL", key)
    store.command("SET", key, "x")


def mend_queue(store: Store, queue: str) -> None:
    store.command("DEL", store.keys.queue(queue, "normal"))
    store.run(ensure_groups(store.keys, QUEUES))


def test_a_worker_whose_lease_is_lost_claims_on(store: Store) -> None:
    store.add_worker()
    job_id = store.submit()
    spoil(store, store.keys.workers())

    [entry] = store.claim()

    assert entry.job_id == job_id
    store.run(find_orphans(store.keys, QUEUES))
    store.finish(entry)


def test_a_damaged_queue_keeps_no_worker_from_the_others(store: Store) -> None:
    store.add_worker()
    spoil(store, store.keys.queue("default", "normal"))
    job_id = store.submit(queue="web")

    assert [entry.job_id for entry in store.claim()] == [job_id]
    assert store.claim() == []
    mend_queue(store, "default")


def test_a_damaged_cron_keeps_no_other_from_its_fire_times(store: Store) -> None:
    spoil(store, store.keys.cron("nightly"))

    assert send(store, a_fire(ONE), a_fire(ONE, cron="other")) == ["damaged", "queued"]

    store.command("DEL", store.keys.cron("nightly"))
    assert send(store, a_fire(ONE)) == ["queued"]


def test_a_fire_time_whose_queue_is_damaged_is_made_once_that_is_mended(store: Store) -> None:
    store.add_worker()
    spoil(store, store.keys.queue("default", "normal"))
    before = store.snapshot()

    assert send(store, a_fire(ONE)) == ["damaged"]
    assert store.snapshot() == before
    assert send(store, a_fire(ONE, cron="other", queue="web")) == ["queued"]

    mend_queue(store, "default")
    assert send(store, a_fire(ONE)) == ["queued"]


def test_an_id_whose_record_is_of_another_type_is_refused(store: Store) -> None:
    spoil(store, store.keys.job("mine"))

    with pytest.raises(DamagedKey):
        store.submit(id="mine")

    assert store.entries() == {}
    mend_all(store)


def test_a_due_job_waits_for_its_damaged_queue(store: Store) -> None:
    store.add_worker()
    job_id = store.retrying()
    store.make_due(job_id)
    spoil(store, store.keys.queue("default", "normal"))

    assert store.promote(job_id) == 0

    due = int(store.command("ZSCORE", store.keys.scheduled(), job_id))
    assert 0 < due - store.now_ms() <= 5000
    mend_queue(store, "default")
    store.make_due(job_id)
    assert store.promote(job_id) == 1


def test_a_due_job_without_a_message_is_not_looked_at_for_ever(store: Store) -> None:
    job_id = store.submit(delay=timedelta(minutes=1))
    store.command("HDEL", store.keys.job(job_id), "message")
    store.make_due(job_id)

    assert store.promote(job_id) == 0

    assert store.due_jobs() == []
    mend_all(store)


def test_a_retry_into_a_damaged_queue_changes_nothing(store: Store) -> None:
    store.add_worker()
    job_id = store.finished()
    spoil(store, store.keys.queue("default", "normal"))
    before = store.snapshot()

    with pytest.raises(DamagedKey):
        store.run(retry_job(store.keys, job_id))

    assert store.snapshot() == before
    mend_queue(store, "default")


def test_who_pauses_a_damaged_cron_is_told(store: Store) -> None:
    spoil(store, store.keys.cron("nightly"))

    with pytest.raises(ReplyError, match="WRONGTYPE"):
        store.run(pause_cron(store.keys, "nightly"))

    mend_all(store)


@pytest.mark.parametrize(
    ("type_", "write", "name", "held"),
    [
        ("hash", ("HSET", "state", "queued"), "state", "odd"),
        ("zset", ("ZADD", 5, "job1"), "job1", "nan"),
        ("string", ("SET", "7"), "", "odd"),
    ],
)
def test_a_part_that_came_right_by_itself_is_not_taken_out(
    store: Store, type_: str, write: tuple[str | int, ...], name: str, held: str
) -> None:
    key = store.keys.job("job1") + "x"
    store.command(write[0], key, *write[1:])
    before = store.command("DUMP", key)

    replies = store.connection.execute(Script("clean", [key], [type_, "", name, held, ""]))

    assert replies == [0]
    assert store.command("DUMP", key) == before
    store.command("DEL", key)


def test_a_member_that_was_renewed_meanwhile_is_not_set_back(store: Store) -> None:
    index = store.keys.daemons()
    store.command("ZADD", index, 7000, "d1")

    moved = store.connection.execute(Script("rewind", [index, index], ["", "", "d1", "9000", 1]))

    assert moved == 0
    assert store.command("ZSCORE", index, "d1") == b"7000"


def test_a_job_whose_queue_is_damaged_is_queued_again_once_that_is_mended(store: Store) -> None:
    store.add_worker()
    job_id = store.submit()
    spoil(store, store.keys.queue("default", "normal"))
    [lost] = [orphan for orphan in store.run(audit(store.keys)) if orphan.job_id == job_id]

    assert store.run(mend(store.keys, [lost])) == []

    assert store.state(job_id) is JobState.QUEUED
    mend_queue(store, "default")
    mend_all(store)
    assert [entry.job_id for entry in store.claim()] == [job_id]

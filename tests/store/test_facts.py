"""What `why` reads: in few round trips, whatever the number of jobs."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from jobrunner.errors import JobNotFound
from jobrunner.model import JobState, Priority, Reason
from jobrunner.store.crons import fire
from jobrunner.store.facts import (
    COUNTED,
    Place,
    read_cron_facts,
    read_job_facts,
    read_task_facts,
)
from jobrunner.store.submission import submit
from tests.store.cli.explaining import DEMO, NIGHTLY, serve
from tests.store.clients import calls_of
from tests.store.counting import round_trips
from tests.store.factories import A_WAITED_LOCK, Store, minutes
from tests.store.fires import ID_ONE, ID_TWO, ONE, TWO, a_fire

THREE = datetime(2026, 11, 21, 3, tzinfo=UTC)


@pytest.fixture
def store(store: Store) -> Store:
    serve(store)
    store.add_worker()
    return store


def place(store: Store, job_id: str) -> Place:
    """Where the job stands, without who is busy."""
    found = store.run(read_job_facts(store.keys, job_id)).place
    assert found is not None
    return replace(found, claimed={})


def test_a_job_is_read_in_three_round_trips_in_any_state(store: Store) -> None:
    running = store.running(lock=A_WAITED_LOCK).job_id
    locked = store.blocked()
    queued, scheduled = store.submit(), store.submit(delay=minutes(1))
    waiting = store.submit(after=queued)

    for job_id in (queued, scheduled, waiting, running, locked):
        facts, trips = round_trips(store, read_job_facts(store.keys, job_id))
        assert (facts.job.id, trips <= 3) == (job_id, True)


def test_crons_and_tasks_are_read_in_eight_round_trips(store: Store) -> None:
    store.run(fire(store.keys, [a_fire(ONE)]))
    store.run(submit(store.keys, [store.submission() for _ in range(500)]))

    cron, cron_trips = round_trips(store, read_cron_facts(store.keys, NIGHTLY))
    task, task_trips = round_trips(store, read_task_facts(store.keys, "demo", DEMO))

    assert cron.oldest is not None
    assert task.oldest is not None
    assert task.counts[JobState.QUEUED] == 501
    assert max(cron_trips, task_trips) <= 8


def test_nothing_reads_the_whole_database(store: Store) -> None:
    job_id = store.submit()
    before = calls_of(store)

    store.run(read_job_facts(store.keys, job_id))
    store.run(read_cron_facts(store.keys, NIGHTLY))
    store.run(read_task_facts(store.keys, "demo", DEMO))

    calls = {name for name, number in calls_of(store).items() if number != before.get(name, 0)}
    assert calls.isdisjoint({"keys", "scan", "hscan", "sscan", "zscan"})
    assert "xrange" in calls


def test_a_place_counts_what_waits_before_the_job(store: Store) -> None:
    store.claimed()
    store.claimed(priority=Priority.HIGH)
    gone = store.submit()
    job_id = store.submit()
    store.submit(priority=Priority.HIGH)
    store.submit(priority=Priority.LOW)
    store.submit(queue="web")
    store.submit()

    assert place(store, gone) == Place(None, ahead=0, above=1)
    assert place(store, job_id) == Place(None, ahead=1, above=1)


def test_a_place_before_any_worker_came_counts_all(store: Store) -> None:
    for _ in range(2):
        store.submit(queue="unread")
    job_id = store.submit(queue="unread")

    assert place(store, job_id) == Place(None, ahead=2)


def test_a_claimed_job_has_a_worker_and_no_place(store: Store) -> None:
    job_id = store.claimed().job_id

    assert place(store, job_id) == Place("w1")


def test_busy_workers_are_counted_over_all_queues(store: Store) -> None:
    store.add_worker("w2")
    store.claimed()
    store.claimed(queue="web", priority=Priority.LOW)
    store.claimed("w2")
    job_id = store.submit(queue="unread")

    facts = store.run(read_job_facts(store.keys, job_id))

    assert facts.place == Place(None, claimed={"w1": 2, "w2": 1})


def test_the_count_of_a_long_line_stops(store: Store) -> None:
    for _ in range(3):
        store.run(submit(store.keys, [store.submission() for _ in range(500)]))
    job_id = store.submit()

    assert place(store, job_id) == Place(None, ahead=COUNTED)


def test_a_job_that_is_gone_is_not_found(store: Store) -> None:
    with pytest.raises(JobNotFound):
        store.run(read_job_facts(store.keys, "nothing"))


def test_the_jobs_of_a_cron_are_told_apart_from_those_of_others(store: Store) -> None:
    store.submit()
    store.run(fire(store.keys, [a_fire(ONE)]))
    store.run(fire(store.keys, [a_fire(TWO, overlap="queue", previous=ID_ONE)]))
    store.run(fire(store.keys, [a_fire(THREE, previous=ID_TWO, skip=Reason.MISFIRE, detail="x")]))
    store.run(fire(store.keys, [a_fire(TWO, cron="nightly2")]))

    facts = store.run(read_cron_facts(store.keys, NIGHTLY))

    assert [job.id for job in facts.live] == [ID_ONE, ID_TWO]
    assert facts.oldest is not None
    assert facts.oldest.job.id == ID_ONE
    assert facts.made_last is not None
    assert facts.made_last.id == ID_TWO
    assert facts.last_skip is not None
    assert facts.last_skip.id == "nightly@2026-11-21T03:00:00Z"


def test_the_oldest_job_of_a_task_is_not_one_of_another(store: Store) -> None:
    store.submit(task="other")
    oldest = store.submit(queue="web")
    store.submit(delay=minutes(1))
    store.submit()

    facts = store.run(read_task_facts(store.keys, "demo", DEMO))

    assert facts.oldest is not None
    assert facts.oldest.job.id == oldest
    assert facts.counts == {
        JobState.SCHEDULED: 1,
        JobState.BLOCKED: 0,
        JobState.QUEUED: 2,
        JobState.RUNNING: 0,
    }


def test_the_last_job_of_a_task_is_found_behind_a_long_line_of_others(store: Store) -> None:
    store.run(submit(store.keys, [store.submission(task="other") for _ in range(300)]))
    job_id = store.submit()

    facts = store.run(read_task_facts(store.keys, "demo", DEMO))

    assert facts.oldest is not None
    assert facts.oldest.job.id == job_id
